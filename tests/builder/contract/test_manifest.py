import json
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from builder.contract import (
    GROUPS,
    CheckError,
    ImageSpec,
    Manifest,
    Sample,
    check_shard,
    dataset_root,
    decode_image,
    index_bytes,
    load_index,
    load_manifest,
    resolve,
    save_manifest,
    sha256_bytes,
)
from builder.write.encode import encode

Raw = dict[str, Any]
JPG = ImageSpec(height=32, width=32, codec="jpg", quality=95)
PNG = ImageSpec(height=32, width=32, codec="png", quality=0)


def spoil(sealed: Path, change: Callable[[Raw], object]) -> Path:
    path = sealed / "manifests" / "gan100.json"
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    return path


def put(*where: str | int, value: object) -> Callable[[Raw], object]:
    def change(raw: Any) -> None:
        for step in where[:-1]:
            raw = raw[step]
        raw[where[-1]] = value

    return change


def synthetic_into_test(raw: Raw) -> None:
    next(s for s in raw["shardlist"] if s["origin"] == "synthetic")["split"] = "test"


BAD: dict[str, tuple[Callable[[Raw], object], str]] = {
    "unknown schema": (put("schema", value=2), "has schema 2; this version reads schema 1"),
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
    "bad hash": (put("shardlist", 0, "sha256", value="0"), "no valid sha256"),
    "extra field": (put("shardlist", 0, "password", value="x"), "expected the fields"),
    "missing field": (lambda raw: raw.pop("plan"), "is not a manifest of schema 1"),
    "wrong type": (put("shardlist", 0, "nsamples", value="12"), "nsamples must be int"),
    "empty shard": (put("shardlist", 0, "nsamples", value=0), "cannot hold 0 samples"),
    "crowded": (put("shardlist", 0, "nsamples", value=10**9), "cannot hold 1000000000 samples"),
    "float share": (put("plan", "share", value=[1.9, 5.2]), "two whole numbers"),
    "huge number": (put("index", "rows", value=10**40), "out of range"),
    "coerced names": (put("pathologies", value="Mas"), "list of names"),
    "foreign target": (put("plan", "targets", 0, "pathology", value="Gout"), "not distinct"),
    "generator's name": (put("generator", "name", value="$\\foo$"), "not plain"),
    "markup": (put("pathologies", value=["[/x] | <img>"]), "cannot be used"),
    "no share": (put("plan", "share", value=[0, 0]), "no fraction below 1"),
    "escape": (put("pathologies", value=["Mass\x1b[31m"]), "cannot be used"),
    "counts": (put("index", "rows", value=3), "another number of rows"),
    "listed twice": (lambda raw: raw["shardlist"].append(raw["shardlist"][0]), "listed twice"),
    "codec": (put("image", "codec", value="gif"), "codec 'gif' is unknown"),
    "geometry": (put("image", "height", value=10**6), "out of range"),
    "name": (put("name", value="../x"), "must match"),
    "share": (put("plan", "targets", 0, "positives", value=1), "miss the share for Mass"),
    "same pathology": (put("pathologies", value=["Mass", "Mass"]), "must differ"),
    "reserved": (put("pathologies", value=["offset"]), "cannot be used"),
    "a group's name": (put("pathologies", value=["sex"]), "cannot be used"),
    "origin": (put("shardlist", 0, "origin", value="dreamt"), "unknown split or origin"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_manifest_is_refused_in_one_sentence(sealed: Path, case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(CheckError, match=message) as caught:
        load_manifest(spoil(sealed, change))
    assert "\n" not in str(caught.value)


DEEP = "{" + '"schema": 1, "recipe": ' + "[" * 5000 + "]" * 5000 + "}"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '"x"', "[" * 100_000, "null", '{"schema": NaN}', DEEP, '{"a": 1, "a": 2}'],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(CheckError, match=r"m\.json"):
        load_manifest(path)
    with pytest.raises(CheckError, match="Cannot read the manifest"):
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


def reseal(sealed: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the index and adjust its hash in the manifest, as a careful forger would."""
    path = sealed / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    index = load_index(manifest, sealed)
    columns = {name: getattr(index, name).copy() for name in index.__slots__}
    change(columns)
    data = index_bytes(type(index)(**columns), manifest.pathologies)
    (sealed / manifest.index.url).write_bytes(data)
    return spoil(sealed, put("index", "sha256", value=sha256_bytes(data)))


FORGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "offset": (lambda c: c["offset"].__setitem__(0, 10**9), "points outside"),
    "negative": (lambda c: c["offset"].__setitem__(0, -1), "points outside"),
    "size": (lambda c: c["size"].__setitem__(0, 10**8), "oversized"),
    "label": (lambda c: c["labels"].__setitem__((0, 0), 7), "outside 1, 0, -1"),
    "key": (lambda c: c["key"].__setitem__(0, "../../etc/evil"), "keys match"),
    "twice": (lambda c: c["key"].__setitem__(0, c["key"][1]), "key twice"),
    "split": (lambda c: c["split"].__setitem__(0, "val"), "disagree about the samples"),
    "origin": (lambda c: c["origin"].__setitem__(0, "synthetic"), "disagree about"),
    "view": (lambda c: c["view"].__setitem__(0, "upside"), "another view than frontal, lateral"),
    "sex": (lambda c: c["sex"].__setitem__(0, "F"), "another sex than female, male or an empty"),
    "exact age": (lambda c: c["age"].__setitem__(0, "63"), "another age than 0-20, 20-40"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_index_is_refused(sealed: Path, case: str) -> None:
    change, message = FORGED[case]
    manifest = load_manifest(reseal(sealed, change))
    with pytest.raises(CheckError, match=message):
        load_index(manifest, sealed)


def rewrite_index(sealed: Path, change: Callable[[Any], Any]) -> Manifest:
    """As `reseal`, on the arrow table: for what our own writer would not write."""
    manifest = load_manifest(sealed / "manifests" / "gan100.json")
    path = sealed / manifest.index.url
    pq.write_table(change(pq.read_table(path)), path)
    sha256 = sha256_bytes(path.read_bytes())
    return load_manifest(spoil(sealed, put("index", "sha256", value=sha256)))


def test_groups_are_columns_only_where_they_are_known_and_come_back(sealed: Path) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns["view"][:] = ""
        columns["sex"][:3] = ["female", "male", ""]
        columns["age"][:5] = GROUPS["age"]

    manifest = load_manifest(reseal(sealed, change))
    names = pq.read_schema(sealed / manifest.index.url).names
    assert names[-3:] == ["patient", "sex", "age"]
    index = load_index(manifest, sealed)
    assert set(index.view) == {""}
    assert index.sex[:4].tolist() == ["female", "male", "", ""]
    assert index.age[:6].tolist() == [*GROUPS["age"], ""]


def test_an_index_without_groups_has_the_columns_and_bytes_it_had(sealed: Path) -> None:
    def change(columns: dict[str, Any]) -> None:
        for name in GROUPS:
            columns[name][:] = ""

    manifest = load_manifest(reseal(sealed, change))
    path = sealed / manifest.index.url
    start = ["key", "split", "origin", "shard", "offset", "size"]
    assert pq.read_schema(path).names == [
        *(*start, *manifest.pathologies),
        *("target", "draw", "patient"),
    ]
    index = load_index(manifest, sealed)
    assert all((getattr(index, name) == "").all() for name in GROUPS)
    assert index_bytes(index, manifest.pathologies) == path.read_bytes()


WORDS = pa.dictionary(pa.int32(), pa.string())
REFUSED_COLUMNS = {
    "unknown": [("height", WORDS)],
    "another order": [("age", WORDS), ("sex", WORDS)],
    "another type": [("sex", pa.string())],
    "twice": [("sex", WORDS), ("sex", WORDS)],
}


@pytest.mark.parametrize("case", REFUSED_COLUMNS)
def test_an_index_with_further_columns_is_refused(sealed: Path, case: str) -> None:
    def change(table: Any) -> Any:
        for name, kind in REFUSED_COLUMNS[case]:
            cells = pa.array([""] * len(table), pa.string()).cast(kind)
            table = table.append_column(pa.field(name, kind), cells)
        return table

    with pytest.raises(CheckError, match="other columns than schema 1"):
        load_index(rewrite_index(sealed, change), sealed)


def test_a_word_that_no_row_uses_is_refused_too(sealed: Path) -> None:
    def change(table: Any) -> Any:
        ages = pa.DictionaryArray.from_arrays(
            pa.array([0] * len(table), pa.int32()), pa.array(["60-80", "63 years"])
        )
        return table.append_column(pa.field("age", WORDS), ages)

    with pytest.raises(CheckError, match="another age than"):
        load_index(rewrite_index(sealed, change), sealed)


@pytest.mark.parametrize("name", ["offset", "draw", "Mass", "patient", "shard", "view"])
def test_an_index_with_a_missing_value_is_refused(sealed: Path, name: str) -> None:
    def change(table: Any) -> Any:
        column = table[name].to_pylist()
        place = table.column_names.index(name)
        field = table.schema.field(name)
        return table.set_column(place, field, pa.array([None, *column[1:]], field.type))

    with pytest.raises(CheckError, match="no value in some row"):
        load_index(rewrite_index(sealed, change), sealed)


def test_a_cell_of_megabytes_is_refused(sealed: Path) -> None:
    def change(table: Any) -> Any:
        place = table.column_names.index("patient")
        words = pa.array(["x" * 50_000] * len(table))
        return table.set_column(place, table.schema.field("patient"), words)

    with pytest.raises(CheckError, match=r"more than 100 bytes|too large"):
        load_index(rewrite_index(sealed, change), sealed)


def test_an_offset_beyond_all_numbers_is_refused(sealed: Path) -> None:
    manifest = load_manifest(reseal(sealed, lambda c: c["offset"].__setitem__(0, 2**63 - 1)))
    with pytest.raises(CheckError, match="points outside"):
        load_index(manifest, sealed)


def test_a_picture_of_gigapixels_and_a_colour_jpeg_are_refused() -> None:
    header = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    chunk = len(header[4:]).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    with pytest.raises(ValueError, match=r"."):
        decode_image(b"\x89PNG\r\n\x1a\n" + chunk, PNG)
    colour = simplejpeg.encode_jpeg(np.zeros((32, 32, 3), np.uint8), colorspace="RGB")
    with pytest.raises(ValueError, match="8-bit grey"):
        decode_image(colour, JPG)


def test_an_index_of_another_shape_or_hash_is_refused(sealed: Path) -> None:
    manifest = load_manifest(sealed / "manifests" / "gan100.json")
    path = sealed / manifest.index.url
    pq.write_table(pq.read_table(path).drop_columns(["patient"]), path)
    with pytest.raises(CheckError, match="sha256 differs"):
        load_index(manifest, sealed)
    sha256 = sha256_bytes(path.read_bytes())
    manifest = load_manifest(spoil(sealed, put("index", "sha256", value=sha256)))
    with pytest.raises(CheckError, match="other columns"):
        load_index(manifest, sealed)
    path.write_bytes(b"PAR1 nonsense")
    manifest = load_manifest(
        spoil(sealed, put("index", "sha256", value=sha256_bytes(b"PAR1 nonsense")))
    )
    with pytest.raises(CheckError, match="not readable"):
        load_index(manifest, sealed)


@pytest.mark.parametrize("spec", [JPG, PNG], ids=["jpg", "png"])
def test_images_decode_into_a_given_array_and_others_are_refused(spec: ImageSpec) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    data = encode(pixels, spec)
    assert len(data) <= spec.max_bytes
    out = np.zeros((3, 32, 32), dtype=np.uint8)
    assert np.array_equal(decode_image(data, spec, out[1]), decode_image(data, spec))
    assert out[1].any()
    assert not out[[0, 2]].any()
    if spec is PNG:
        assert np.array_equal(out[1], pixels)
    small = ImageSpec(height=16, width=16, codec=spec.codec, quality=spec.quality)
    for bad in (encode(pixels[:16, :16], small), data[: len(data) // 2], b"junk", b""):
        with pytest.raises(ValueError, match=r"."):
            decode_image(bad, spec)


@pytest.mark.parametrize("side", [16, 64, 224])
def test_the_size_limit_admits_noise_at_any_quality(side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (side, side), dtype=np.uint8)
    for codec, quality in (("jpg", 100), ("png", 0)):
        spec = ImageSpec(height=side, width=side, codec=codec, quality=quality)
        assert len(encode(pixels, spec)) <= spec.max_bytes


def test_the_index_is_much_smaller_than_pandas_default(sealed: Path, tmp_path: Path) -> None:
    manifest = load_manifest(sealed / "manifests" / "gan100.json")
    index = load_index(manifest, sealed)
    many = {n: np.concatenate([getattr(index, n)] * 300) for n in index.__slots__}
    many["key"] = np.array([f"gan100-mass-{i:07d}" for i in range(len(many["key"]))], dtype=object)
    data = index_bytes(type(index)(**many), manifest.pathologies)
    path = tmp_path / "own.parquet"
    path.write_bytes(data)
    frame = pq.read_table(path).to_pandas()
    plain = frame.astype({"split": str, "origin": str, "shard": str, "target": str})
    plain = plain.astype(dict.fromkeys(manifest.pathologies, "int64"))
    plain.to_parquet(tmp_path / "pandas.parquet")
    assert len(data) <= 0.6 * (tmp_path / "pandas.parquet").stat().st_size


def test_a_json_member_is_what_json_would_write() -> None:
    names = ("Mass", '50 % "new"', "épaississement")
    sample = Sample(
        key="x-1",
        split="train",
        origin="synthetic",
        target=names[1],
        draw=7,
        patient="",
        labels=(1, 0, -1),
    )
    record = {field: getattr(sample, field) for field in ("key", "split", "origin", "target")}
    record |= {"draw": 7, "labels": dict(zip(names, sample.labels, strict=True))}
    member = json.dumps(record, separators=(",", ":")).encode()
    assert sample.to_json(names) == member
    assert replace(sample, view="pa", sex="male", age="80-").to_json(names) == member
