from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import CheckError, Index, Manifest
from builder.share.known import facts_of, read_known


def test_the_index_says_all_of_every_sample(
    sealed_once: Path, manifest: Manifest, index: Index
) -> None:
    known = read_known(manifest, sealed_once / "manifests" / "gan100.json")
    assert known is not None
    assert [*known.facts] == index.key.tolist()
    assert known.index == sealed_once / manifest.index.url
    row = len(index) // 2
    fact = known.facts[index.key[row]]
    assert fact.sketch == index.sketch[row].tobytes()
    assert fact.labels == tuple(index.labels[row])
    assert (fact.split, fact.draw, fact.size) == (
        index.split[row],
        index.draw[row],
        index.size[row],
    )
    assert fact.people == (index.patient[row], index.view[row], index.sex[row], index.age[row])


def test_a_release_says_the_same_of_synthetic_images_and_the_sha256_of_real_ones(
    shared_folder: Path, manifest: Manifest, index: Index
) -> None:
    known = read_known(manifest, shared_folder / "manifests" / "gan100.json")
    assert known is not None
    assert known.index is None
    assert {*known.facts} == {*index.key}
    whole = dict(facts_of(index, {}))
    for key, fact in known.facts.items():
        if fact.origin == "synthetic":
            assert fact == replace(whole[key], people=None)
        else:
            assert fact.split == whole[key].split
            assert fact.sha256 is not None
            assert fact.labels is None


def test_an_index_beside_the_manifest_is_found(sealed: Path, manifest: Manifest) -> None:
    (sealed / "manifests").rename(sealed / "mail")
    known = read_known(manifest, sealed / "mail" / "gan100.json")
    assert known is not None
    assert known.index == sealed / "mail" / "gan100.parquet"
    known.index.write_bytes(known.index.read_bytes() + b"x")
    with pytest.raises(CheckError, match="sha256 differs"):
        read_known(manifest, sealed / "mail" / "gan100.json")


def test_nothing_is_known_of_a_manifest_alone(tmp_path: Path, manifest: Manifest) -> None:
    assert read_known(manifest, tmp_path / "manifests" / "gan100.json") is None


def test_another_index_is_refused(sealed: Path, manifest: Manifest) -> None:
    path = sealed / manifest.index.url
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckError, match="sha256 differs"):
        read_known(manifest, sealed / "manifests" / "gan100.json")


def test_sketches_are_given_in_order_or_not_at_all(
    sealed_once: Path, manifest: Manifest, index: Index
) -> None:
    known = read_known(manifest, sealed_once / "manifests" / "gan100.json")
    assert known is not None
    keys = index.key.tolist()[3:6]
    assert known.sketches(keys) == index.sketch[3:6].tobytes()
    assert known.sketches([*keys, "strange"]) is None
