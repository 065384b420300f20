from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builder.contract import Index, Manifest, sha256_bytes
from builder.share.known import Known, read_known
from builder.share.proof import RENDER_DISTANCE, Proof, Rebuilt, prove

Change = Callable[[dict[str, np.ndarray]], object]


@pytest.fixture
def known(sealed_once: Path, manifest: Manifest) -> Known:
    found = read_known(manifest, sealed_once / "manifests" / "gan100.json")
    assert found is not None
    return found


@pytest.fixture
def proof_of(
    sealed_once: Path, manifest: Manifest, index: Index, known: Known
) -> Callable[..., Proof]:
    """The proof of a rebuilt dataset whose index is changed, and some of whose shards."""

    def of(change: Change = lambda _: None, origins: tuple[str, ...] = ("synthetic",)) -> Proof:
        columns = {name: np.array(getattr(index, name)) for name in index.__slots__}
        change(columns)
        shards = tuple(
            replace(s, sha256="0" * 64) if s.origin in origins else s for s in manifest.shardlist
        )
        entry = replace(manifest.index, sha256=sha256_bytes(repr(columns).encode()))
        other = replace(manifest, shardlist=shards, index=entry)
        rebuilt = Rebuilt(manifest=other, index=Index(**columns), root=sealed_once)
        return prove(manifest, known, rebuilt)

    return of


def rows_of(index: Index, origin: str) -> list[int]:
    return np.flatnonzero(index.origin == origin).tolist()


def test_equal_bytes_are_the_same(sealed_once: Path, manifest: Manifest, index: Index) -> None:
    """Nothing but the hashes is needed."""
    rebuilt = Rebuilt(manifest=manifest, index=index, root=sealed_once)
    proof = prove(manifest, None, rebuilt)
    assert proof.same
    assert not proof.close
    assert proof.equal == {shard.url for shard in manifest.shardlist}


def test_equal_shards_and_rows_are_the_same_whatever_wrote_the_index(
    proof_of: Callable[..., Proof],
) -> None:
    assert proof_of(origins=()).same


def test_other_bytes_with_equal_samples_are_close(proof_of: Callable[..., Proof]) -> None:
    proof = proof_of()
    assert proof.close
    assert proof.farthest == 0
    assert len(proof.equal) > 0


@pytest.mark.parametrize("greys", [RENDER_DISTANCE, RENDER_DISTANCE + 1])
def test_a_sketch_may_be_as_far_as_is_stated(
    proof_of: Callable[..., Proof], index: Index, greys: int
) -> None:
    row = rows_of(index, "synthetic")[4]

    def change(columns: dict[str, np.ndarray]) -> None:
        cell = columns["sketch"][row, 9]
        columns["sketch"][row, 9] = cell - greys if cell > 128 else cell + greys

    proof = proof_of(change)
    assert proof.farthest == greys
    assert proof.close == (greys == RENDER_DISTANCE)
    if not proof.close:
        (difference,) = proof.differences
        assert difference.startswith(f"{index.key[row]}: its sketch is {greys} greys away")


CHANGES: dict[str, tuple[Callable[[dict[str, np.ndarray], int], object], str]] = {
    "label": (lambda c, i: c["labels"].__setitem__((i, 1), -1), "Edema is "),
    "target": (lambda c, i: c["target"].__setitem__(i, "Edema"), "its target is "),
    "draw": (lambda c, i: c["draw"].__setitem__(i, 10**6), "its draw is "),
    "split": (lambda c, i: c["split"].__setitem__(i, "val"), "its split is train there and val"),
    "patient": (lambda c, i: c["patient"].__setitem__(i, "x"), "its patient, view, sex or age"),
    "age": (lambda c, i: c["age"].__setitem__(i, "40-60"), "its patient, view, sex or age"),
}


@pytest.mark.parametrize("origins", [(), ("synthetic",)])
@pytest.mark.parametrize("case", CHANGES)
def test_every_other_word_is_a_difference(
    proof_of: Callable[..., Proof], index: Index, case: str, origins: tuple[str, ...]
) -> None:
    change, message = CHANGES[case]
    row = rows_of(index, "synthetic")[2]
    proof = proof_of(lambda columns: change(columns, row), origins)
    assert not proof.same
    (difference,) = proof.differences
    assert difference.startswith(f"{index.key[row]}: {message}")


def test_a_lost_and_a_new_sample_are_differences(
    proof_of: Callable[..., Proof], index: Index
) -> None:
    row = rows_of(index, "synthetic")[0]
    proof = proof_of(lambda columns: columns["key"].__setitem__(row, "gan100-mass-9999999"))
    assert proof.differences == (
        f"{index.key[row]} is missing here.",
        "gan100-mass-9999999 is here and not in the manifest's dataset.",
    )


@pytest.mark.parametrize("column", ["size", "sketch"])
def test_a_real_image_must_be_the_same_bytes(
    proof_of: Callable[..., Proof], index: Index, column: str
) -> None:
    row = rows_of(index, "real")[0]

    def change(columns: dict[str, np.ndarray]) -> None:
        columns[column][row] ^= 1

    proof = proof_of(change, ("real",))
    assert any(each.startswith(f"{index.key[row]}: its ") for each in proof.differences)
    assert not proof.same
    assert not proof.close


def test_a_real_shard_that_differs_in_nothing_that_is_known_is_still_a_difference(
    proof_of: Callable[..., Proof], manifest: Manifest
) -> None:
    proof = proof_of(origins=("real",))
    real = [shard.url for shard in manifest.shardlist if shard.origin == "real"]
    assert [each.split()[0] for each in proof.differences] == sorted(real)
    assert all("some pixel or label differs" in each for each in proof.differences)


def test_the_sha256_of_real_images_tells_them_apart(
    shared_folder: Path, sealed_once: Path, manifest: Manifest, index: Index
) -> None:
    known = read_known(manifest, shared_folder / "manifests" / "gan100.json")
    assert known is not None
    key = index.key[rows_of(index, "real")[3]]
    known.facts[key] = replace(known.facts[key], sha256="0" * 64)
    shards = tuple(replace(s, sha256="0" * 64) for s in manifest.shardlist)
    rebuilt = Rebuilt(manifest=replace(manifest, shardlist=shards), index=index, root=sealed_once)
    found = prove(manifest, known, rebuilt).differences
    assert f"{key}: its image has another sha256." in found
    others = [each for each in found if not each.startswith(key)]
    assert all("some pixel or label differs" in each for each in others)


def test_what_has_no_sketch_cannot_be_compared(
    manifest: Manifest, index: Index, sealed_once: Path, known: Known
) -> None:
    facts = {key: replace(fact, sketch=None) for key, fact in known.facts.items()}
    shards = tuple(
        replace(s, sha256="0" * 64) if s.origin == "synthetic" else s for s in manifest.shardlist
    )
    rebuilt = Rebuilt(manifest=replace(manifest, shardlist=shards), index=index, root=sealed_once)
    proof = prove(manifest, replace(known, facts=facts), rebuilt)
    assert len(proof.differences) == len(rows_of(index, "synthetic"))
    assert all("no sketch that could be compared" in each for each in proof.differences)


def test_without_the_index_nothing_is_compared_and_nothing_is_proved(
    manifest: Manifest, index: Index, sealed_once: Path
) -> None:
    other = replace(manifest, index=replace(manifest.index, sha256="0" * 64))
    proof = prove(manifest, None, Rebuilt(manifest=other, index=index, root=sealed_once))
    assert not proof.same
    assert not proof.close
    assert "is not here, so no sample can be compared" in proof.differences[0]


def test_another_plan_is_a_difference(manifest: Manifest, index: Index, sealed_once: Path) -> None:
    assert manifest.plan is not None
    other = replace(manifest, plan=replace(manifest.plan, lower_bound=0))
    proof = prove(manifest, None, Rebuilt(manifest=other, index=index, root=sealed_once))
    assert proof.differences == ("The plan in the manifest is another one than here.",)
    assert not proof.same


@pytest.mark.parametrize("part", ["source", "generator"])
def test_what_the_manifest_says_of_its_origin_must_be_true(
    manifest: Manifest, index: Index, sealed_once: Path, part: str
) -> None:
    told = {**getattr(manifest, part), "rows": 10**6, "dataset": "chexpert"}
    false = replace(manifest, **{part: told})
    proof = prove(false, None, Rebuilt(manifest=manifest, index=index, root=sealed_once))
    assert not proof.same
    assert f"The manifest's {part} has rows 1000000 and here it is" in "".join(proof.differences)


def test_words_of_a_stranger_do_not_reach_the_terminal(
    manifest: Manifest, index: Index, sealed_once: Path, known: Known
) -> None:
    row = rows_of(index, "synthetic")[0]
    fact = known.facts[index.key[row]]
    facts = {**known.facts, "\x1b[31m": fact, index.key[row]: replace(fact, target="\x1b[0m")}
    other = replace(manifest, index=replace(manifest.index, sha256="0" * 64))
    rebuilt = Rebuilt(manifest=other, index=index, root=sealed_once)
    found = prove(manifest, replace(known, facts=facts), rebuilt).differences
    assert len(found) == 2
    assert "\x1b" not in "".join(found)
