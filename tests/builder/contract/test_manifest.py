import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.contract import (
    MAX_SAMPLES,
    MAX_SHARDS,
    CheckError,
    check_shard,
    dataset_root,
    load_manifest,
    record,
    resolve,
    save_manifest,
    sha256_bytes,
)
from builder.contract.manifest import parse_manifest

Raw = dict[str, Any]
Change = Callable[[Raw], object]
Spoil = Callable[[Change], Path]


def put(*where: str | int, value: object) -> Callable[[Raw], object]:
    def change(raw: Any) -> None:
        for step in where[:-1]:
            raw = raw[step]
        raw[where[-1]] = value

    return change


def synthetic_into_test(raw: Raw) -> None:
    next(s for s in raw["shardlist"] if s["origin"] == "synthetic")["split"] = "test"


BAD: dict[str, tuple[Callable[[Raw], object], str]] = {
    "unknown schema": (put("schema", value=3), "has schema 3; this version reads schema 1 and 2"),
    "a schema that is true": (put("schema", value=True), "has schema True"),
    "no schema": (lambda raw: raw.pop("schema"), "has schema None"),
    "synthetic in test": (synthetic_into_test, "puts synthetic images into test: refused"),
    "pipe": (put("shardlist", 0, "url", value="pipe:cat /etc/passwd"), "is refused"),
    "parent": (put("shardlist", 0, "url", value="../evil.tar"), "is refused"),
    "hidden parent": (put("shardlist", 0, "url", value="shards/../../evil.tar"), "is refused"),
    "absolute": (put("shardlist", 0, "url", value="/etc/passwd"), "is refused"),
    "scheme": (put("shardlist", 0, "url", value="https://example.org/a.tar"), "is refused"),
    "variable": (put("shardlist", 0, "url", value="${HOME}/a.tar"), "is refused"),
    "backslash": (put("shardlist", 0, "url", value="shards\\a.tar"), "is refused"),
    "index outside": (put("index", "url", value="../x.parquet"), "is refused"),
    "bad hash": (
        put("shardlist", 0, "sha256", value="0"),
        r"text of the form .*\.sha256",
    ),
    "extra field": (put("shardlist", 0, "password", value="x"), r"shardlist\.password is no field"),
    "missing field": (lambda raw: raw.pop("plan"), "it has no field plan"),
    "wrong type": (
        put("shardlist", 0, "nsamples", value="12"),
        r"whole number, got text at .*nsamples",
    ),
    "empty shard": (put("shardlist", 0, "nsamples", value=0), "cannot hold 0 samples"),
    "crowded": (put("shardlist", 0, "nsamples", value=10**9), "cannot hold 1000000000 samples"),
    "float share": (
        put("plan", "share", value=[1.9, 5.2]),
        r"got a number at plan\.share",
    ),
    "huge number": (
        put("index", "rows", value=10**40),
        r"of at most \d+ at index\.rows",
    ),
    "coerced names": (put("pathologies", value="Mas"), "expected a list, got text at pathologies"),
    "foreign target": (put("plan", "targets", 0, "pathology", value="Gout"), "not distinct"),
    "generator's name": (put("generator", "name", value="$\\foo$"), "not plain"),
    "markup": (put("pathologies", value=["[/x] | <img>"]), "cannot be used"),
    "no share": (put("plan", "share", value=[0, 0]), "no fraction between 0 and 1"),
    "escape": (put("pathologies", value=["Mass\x1b[31m"]), "cannot be used"),
    "counts": (put("index", "rows", value=3), "another number of rows"),
    "listed twice": (lambda raw: raw["shardlist"].append(raw["shardlist"][0]), "listed twice"),
    "codec": (put("image", "codec", value="gif"), r"unknown word 'gif' at image\.codec"),
    "geometry": (put("image", "height", value=10**6), r"at most 4096 at image\.height"),
    "name": (put("name", value="../x"), "must match"),
    "share": (put("plan", "targets", 0, "positives", value=1), "miss the share for Mass"),
    "same pathology": (put("pathologies", value=["Mass", "Mass"]), "must differ"),
    "reserved": (put("pathologies", value=["offset"]), "cannot be used"),
    "a group's name": (put("pathologies", value=["sex"]), "cannot be used"),
    "origin": (
        put("shardlist", 0, "origin", value="dreamt"),
        r"unknown word 'dreamt' at .*origin",
    ),
    "no generator": (put("generator", value=None), "A plan and a generator belong together"),
    "no plan, no generator": (
        lambda raw: raw.update(plan=None, generator=None),
        "synthetic images and no plan",
    ),
    "a plan of nothing": (
        lambda raw: raw["plan"].update(real=0, synthetic=0),
        "one of no image at all",
    ),
    "no shard": (
        lambda raw: (raw["shardlist"].clear(), raw["index"].update(rows=0)),
        "It lists no shard",
    ),
    "a long path": (put("shardlist", 0, "url", value="a/" * 200 + "a.tar"), "is refused"),
    "a name of megabytes": (put("pathologies", value=["x" * (3 << 20)]), "cannot be used"),
    "an older field": (put("plan", "fewest", value=0), r"plan\.fewest is no field"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_manifest_is_refused_in_one_sentence(spoil: Spoil, case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(CheckError, match=message) as caught:
        load_manifest(spoil(change))
    assert "\n" not in str(caught.value)


DEEP = "{" + '"schema": 2, "recipe": ' + "[" * 5000 + "]" * 5000 + "}"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '"x"', "[" * 100_000, "null", '{"schema": NaN}', DEEP, '{"a": 1, "a": 2}'],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(CheckError, match=r"m\.json"):
        load_manifest(path)
    with pytest.raises(CheckError, match=r"Cannot read .*absent"):
        load_manifest(tmp_path / "absent.json")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev", "pipe"])
def test_what_is_no_file_is_not_read(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckError, match="is not a file"):
        load_manifest(tmp_path / path)


def test_saving_and_loading_give_the_same_manifest_and_digest(sealed: Path) -> None:
    path = sealed / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    save_manifest(manifest, sealed / "manifests" / "again.json")
    assert (sealed / "manifests" / "again.json").read_bytes() == path.read_bytes()
    assert manifest.digest == sha256_bytes(path.read_bytes())
    assert load_manifest(sealed / "manifests" / "again.json") == manifest


def test_the_root_is_beside_manifests(tmp_path: Path) -> None:
    assert dataset_root(tmp_path / "manifests" / "a.json") == tmp_path
    assert dataset_root(tmp_path / "a.json") == tmp_path


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.tar").write_bytes(b"x")
    (root / "a.tar").symlink_to(tmp_path / "secret.tar")
    (root / "folder").symlink_to(tmp_path)
    for url in ("a.tar", "folder/secret.tar"):
        with pytest.raises(CheckError, match="leads out of"):
            resolve(root, url)


def test_a_shard_is_used_only_if_size_and_hash_agree(sealed: Path) -> None:
    shard = load_manifest(sealed / "manifests" / "gan100.json").shardlist[0]
    path = check_shard(shard, sealed)
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckError, match="its sha256 differs"):
        check_shard(shard, sealed)
    path.write_bytes(data[:-1])
    with pytest.raises(CheckError, match="the manifest says"):
        check_shard(shard, sealed)
    path.unlink()
    with pytest.raises(CheckError, match="is missing"):
        check_shard(shard, sealed)


def test_schema_1_is_read_and_keeps_its_bytes_and_digest(
    manifest_path: Path, tmp_path: Path
) -> None:
    raw = json.loads(manifest_path.read_text())
    plan = {"fewest" if name == "lower_bound" else name: raw["plan"][name] for name in raw["plan"]}
    old = tmp_path / "old.json"
    old.write_text(json.dumps({**raw, "schema": 1, "plan": plan}, indent=2) + "\n")
    manifest = load_manifest(old)
    assert manifest.schema == 1
    assert manifest.plan == load_manifest(manifest_path).plan
    assert manifest.digest == sha256_bytes(old.read_bytes())
    save_manifest(manifest, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == old.read_bytes()


def test_schema_1_has_a_plan_and_a_generator(spoil: Spoil) -> None:
    def change(raw: Raw) -> None:
        raw.update(schema=1, plan=None, generator=None)

    with pytest.raises(CheckError, match="schema 1 has a plan"):
        load_manifest(spoil(change))


def test_real_images_alone_need_neither_plan_nor_generator(manifest_path: Path) -> None:
    manifest = load_manifest(manifest_path)
    real = tuple(shard for shard in manifest.shardlist if shard.origin == "real")
    rows = sum(shard.nsamples for shard in real)
    alone = replace(
        manifest,
        plan=None,
        generator=None,
        shardlist=real,
        index=replace(manifest.index, rows=rows),
    )
    save_manifest(alone, manifest_path)
    loaded = load_manifest(manifest_path)
    assert loaded == alone
    assert loaded.real_only
    assert loaded.targets == ()
    assert loaded.generator_name == ""


def test_what_others_ask_of_a_manifest(manifest_path: Path) -> None:
    manifest = load_manifest(manifest_path)
    assert manifest.targets == ("Mass", "Pleural_Thickening")
    assert (manifest.dataset, manifest.regime) == ("table", "100")
    assert (manifest.uncertain, manifest.generator_name) == ("mask", "phantom")
    bare = replace(manifest, recipe={}, source={})
    assert (bare.dataset, bare.regime, bare.uncertain) == ("", None, "ones")


def test_a_manifest_that_nothing_could_read_is_not_written(
    manifest_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed, before = load_manifest(manifest_path), manifest_path.read_bytes()
    for limit, least in (("MAX_JSON", len(before)), ("MAX_PARTS", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(record, limit, least - 1)
            with pytest.raises(CheckError, match=r"would have .* by a larger --shard-size\.$"):
                save_manifest(replace(sealed, name="gan999"), manifest_path)
        assert manifest_path.read_bytes() == before


def test_so_many_shards_as_are_built_can_be_read_again(manifest_path: Path) -> None:
    """With the longest name that a dataset may have, and shards of terabytes."""
    sealed, url = load_manifest(manifest_path), f"shards/{'n' * 40}/train-000000-of-000000.tar"
    largest = {"url": url, "nsamples": MAX_SAMPLES, "filesize": 1 << 50, "origin": "synthetic"}
    shard = replace(sealed.shardlist[0], **largest)
    one, two = (replace(sealed, shardlist=(shard,) * n).to_json().encode() for n in (1, 2))
    assert MAX_SHARDS * (len(two) - len(one)) < record.MAX_JSON - (1 << 20)
    parts = [sum(map(text.count, (b",", b":", b"[", b"{"))) for text in (one, two)]
    assert MAX_SHARDS * (parts[1] - parts[0]) < record.MAX_PARTS - 100_000


def test_a_manifest_that_is_no_file_is_named_as_its_reader_names_it(sealed_once: Path) -> None:
    path = sealed_once / "manifests" / "gan100.json"
    data = path.read_bytes()
    assert parse_manifest(data, "x") == load_manifest(path)
    bad = data.replace(b'"origin": "synthetic"', b'"origin": "imagined"')
    for damaged in (data[:-9], b'{"schema": 3}', bad):
        with pytest.raises(CheckError, match=r"s3://b/a\.json"):
            parse_manifest(damaged, "s3://b/a.json")
