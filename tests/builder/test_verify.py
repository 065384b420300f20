import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest

from builder.contract import (
    GROUPS,
    ImageSpec,
    Index,
    Manifest,
    index_bytes,
    load_index,
    load_manifest,
    sha256_bytes,
    sha256_file,
    tar,
)
from builder.verify import sample_at, verify
from builder.write.encode import encode

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def manifest_of(sealed: Path) -> Path:
    return sealed / "manifests" / "gan100.json"


def reseal(sealed: Path, url: str, data: bytes) -> None:
    """Replace a shard and adjust size and hash in the manifest, as a careful forger would."""
    (sealed / url).write_bytes(data)
    path = manifest_of(sealed)
    manifest = load_manifest(path)
    shards = tuple(
        replace(s, filesize=len(data), sha256=sha256_file(sealed / url)) if s.url == url else s
        for s in manifest.shardlist
    )
    path.write_text(json.dumps(asdict(replace(manifest, shardlist=shards))))


def rewritten(
    sealed: Path, manifest: Manifest, url: str, change: Callable[[list[tuple[str, bytes]]], object]
) -> bytes:
    members = []
    for member in tar.walk(sealed / url, "jpg", manifest.image.max_bytes):
        members += [(f"{member.key}.jpg", member.image), (f"{member.key}.json", member.json)]
    change(members)
    parts = [tar.header(n, len(d)) + d + tar.padding(len(d)) for n, d in members]
    return b"".join(parts) + tar.END


def test_a_sound_dataset_has_no_fault(sealed: Path, xbuild: Xbuild) -> None:
    assert list(verify(manifest_of(sealed))) == []
    done = xbuild("verify", manifest_of(sealed))
    assert (done.returncode, done.stdout[:3]) == (0, "OK:")


def test_shards_may_lie_elsewhere(sealed: Path, tmp_path: Path, xbuild: Xbuild) -> None:
    alone = tmp_path / "alone.json"
    alone.write_bytes(manifest_of(sealed).read_bytes())
    assert xbuild("verify", alone).returncode == 1
    assert xbuild("verify", alone, "--shards-root", sealed).returncode == 0


def swap_label(members: list[tuple[str, bytes]]) -> None:
    record = json.loads(members[1][1])
    record["labels"]["Mass"] = 1 - record["labels"]["Mass"]
    members[1] = (members[1][0], json.dumps(record, separators=(",", ":")).encode())


def swap_image(members: list[tuple[str, bytes]]) -> None:
    members[0], members[2] = (members[0][0], members[2][1]), (members[2][0], members[0][1])


def drop(members: list[tuple[str, bytes]]) -> None:
    del members[:2]


def add(members: list[tuple[str, bytes]]) -> None:
    members += [("evil.jpg", members[0][1]), ("evil.json", members[1][1])]


def third(members: list[tuple[str, bytes]]) -> None:
    members.insert(2, (members[0][0].replace(".jpg", ".pkl"), b"cos\nsystem"))


def other_size(members: list[tuple[str, bytes]]) -> None:
    spec = ImageSpec(height=16, width=16, codec="jpg", quality=95)
    image = encode(np.random.default_rng(0).integers(0, 255, (16, 16), dtype=np.uint8), spec)
    members[0] = (members[0][0], image)


FORGED = {
    "label": (swap_label, "labels or origin differ from the index"),
    "image": (swap_image, "the index points elsewhere"),
    "dropped": (drop, "points outside of shards"),
    "added": (add, "holds more than the"),
    "third member": (third, "where KEY.jpg must be|where KEY.json"),
    "other size": (other_size, "does not decode"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_shard_is_noticed_even_with_the_right_hash(sealed: Path, case: str) -> None:
    change, message = FORGED[case]
    manifest = load_manifest(manifest_of(sealed))
    url = manifest.shardlist[0].url
    reseal(sealed, url, rewritten(sealed, manifest, url, change))
    faults = list(verify(manifest_of(sealed)))
    assert any(re.search(message, fault) for fault in faults), faults


def test_every_damaged_shard_is_listed(sealed: Path, xbuild: Xbuild) -> None:
    manifest = load_manifest(manifest_of(sealed))
    first, second, third_shard = manifest.shardlist[:3]
    (sealed / first.url).unlink()
    data = (sealed / second.url).read_bytes()
    (sealed / second.url).write_bytes(data[: len(data) // 2])
    (sealed / third_shard.url).with_suffix(".idx").write_text("v1.2 0\n")
    done = xbuild("verify", manifest_of(sealed))
    assert done.returncode == 1
    assert f"{first.url} is missing" in done.stderr
    assert second.url in done.stderr
    assert ".idx of shards" in done.stderr
    assert "3 faults" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_plans_counts_are_recomputed(sealed: Path) -> None:
    path = manifest_of(sealed)
    raw = json.loads(path.read_text())
    raw["plan"]["targets"][0]["positives"] += 1
    raw["plan"]["targets"][1]["render"] -= 1
    raw["plan"]["real"] -= 1
    path.write_text(json.dumps(raw))
    faults = "\n".join(verify(path))
    assert "positives in all" in faults
    assert "images were made for Pleural_Thickening" in faults
    assert "real training images, the plan says" in faults


def with_patients(path: Path, change: Callable[..., object]) -> Path:
    manifest, sealed = load_manifest(path), path.parents[1]
    index = load_index(manifest, sealed)
    patient = np.array(index.patient)
    change(patient, index)
    return with_index(path, replace(index, patient=patient))


def with_index(path: Path, index: Index) -> Path:
    """Seal another index of the same length."""
    manifest, sealed = load_manifest(path), path.parents[1]
    data = index_bytes(index, manifest.pathologies)
    (sealed / manifest.index.url).write_bytes(data)
    changed = replace(manifest, index=replace(manifest.index, sha256=sha256_bytes(data)))
    path.write_text(changed.to_json())
    return path


def test_patients_are_hashes_and_synthetic_images_have_none(sealed: Path) -> None:
    def change(patient: np.ndarray, index: Index) -> None:
        patient[np.flatnonzero(index.origin == "synthetic")[0]] = "MRN 12345"
        patient[np.flatnonzero(index.origin == "real")[0]] = "John Doe"

    faults = "\n".join(verify(with_patients(manifest_of(sealed), change)))
    assert "A synthetic image has a patient" in faults
    assert "is not a salted hash" in faults


@pytest.mark.parametrize("name", GROUPS)
def test_a_synthetic_image_with_a_group_is_a_fault(sealed: Path, name: str) -> None:
    path = manifest_of(sealed)
    manifest = load_manifest(path)
    index = load_index(manifest, sealed)
    column = np.array(getattr(index, name))
    column[np.flatnonzero(index.origin == "synthetic")[0]] = GROUPS[name][0]
    with_index(path, replace(index, **{name: column}))
    fault = f"A synthetic image has a value in column {name}, though it shows no patient."
    assert list(verify(path)) == [fault]


def test_a_sketch_that_is_not_of_its_image_is_a_fault(sealed: Path) -> None:
    path = manifest_of(sealed)
    manifest = load_manifest(path)
    index = load_index(manifest, sealed)
    for greys, faults in ((1, 0), (40, 1)):
        sketch = index.sketch.copy()
        sketch[5, 7] += np.uint8(greys)  # the cells of noise are far from white
        with_index(path, replace(index, sketch=sketch))
        found = list(verify(path))
        assert len(found) == faults
        assert all(f"{index.key[5]}: its sketch in the index is" in fault for fault in found)


def test_an_index_without_sketches_has_no_fault(sealed: Path) -> None:
    path = manifest_of(sealed)
    index = load_index(load_manifest(path), sealed)
    with_index(path, replace(index, sketch=index.sketch[:, :0]))
    assert list(verify(path)) == []


def test_a_patient_in_val_and_in_test_is_a_fault(sealed: Path) -> None:
    def change(patient: np.ndarray, index: Index) -> None:
        patient[index.split == "val"] = patient[index.split == "test"][0]

    assert list(verify(with_patients(manifest_of(sealed), change))) == [
        "A patient is in val and in test."
    ]


def test_shares_and_bounds_that_are_not_are_faults(sealed: Path) -> None:
    path = manifest_of(sealed)
    raw = json.loads(path.read_text())
    raw["plan"]["targets"][0]["share"] = 0.99
    raw["plan"]["lower_bound"] = 10**6
    path.write_text(json.dumps(raw))
    faults = "\n".join(verify(path))
    assert "has a share of 0.99, which is not true" in faults
    assert "lower bound of 1000000 images is above the" in faults


def test_another_label_beside_a_target_that_is_alone_is_a_fault(sealed: Path) -> None:
    path = manifest_of(sealed)
    raw = json.loads(path.read_text())
    raw["recipe"]["vectors"] = "alone"
    path.write_text(json.dumps(raw))
    assert "An image that was made for Mass alone has another label, too." in verify(path)


def test_a_sound_dataset_of_real_images_has_no_fault(sealed: Path) -> None:
    path = real_only(sealed)
    assert load_manifest(path).real_only
    assert list(verify(path)) == []


def test_a_patient_in_two_splits_of_real_images_is_a_fault(sealed: Path) -> None:
    path = with_patients(real_only(sealed), lambda p, i: p.__setitem__(i.split == "test", p[0]))
    assert list(verify(path)) == ["A patient is in train and in test."]


def real_only(sealed: Path) -> Path:
    """The manifest of the real images alone."""
    path = manifest_of(sealed)
    manifest = load_manifest(path)
    index = load_index(manifest, sealed)
    real = index.origin == "real"
    part = Index(**{field.name: getattr(index, field.name)[real] for field in fields(Index)})
    data = index_bytes(part, manifest.pathologies)
    (sealed / manifest.index.url).write_bytes(data)
    entry = replace(manifest.index, rows=len(part), sha256=sha256_bytes(data))
    shards = tuple(shard for shard in manifest.shardlist if shard.origin == "real")
    changed = replace(manifest, plan=None, generator=None, index=entry, shardlist=shards)
    path.write_text(changed.to_json())
    return path


def test_a_half_dataset_holds_no_real_image(sealed: Path) -> None:
    path = manifest_of(sealed)
    raw = json.loads(path.read_text())
    raw["recipe"]["real"] = "none"
    path.write_text(json.dumps(raw))
    assert "no real image was packed" in "\n".join(verify(path))


def test_a_patient_in_two_splits_is_a_fault(sealed: Path) -> None:
    path = with_patients(manifest_of(sealed), lambda p, i: p.__setitem__(i.split == "test", p[0]))
    assert list(verify(path)) == ["A patient is in train and in test."]


def test_unknown_labels_stay_unknown(sealed: Path) -> None:
    manifest = load_manifest(manifest_of(sealed))
    index = load_index(manifest, sealed)
    edema = index.labels[:, manifest.pathologies.index("Edema")]
    assert {-1, 0, 1} == set(edema.tolist())
    row = int(np.flatnonzero(edema == -1)[0])
    assert b'"Edema":-1' in sample_at(index, row).to_json(manifest.pathologies)
