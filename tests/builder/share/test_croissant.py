import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import Manifest
from builder.share.croissant import citation, croissant_json, description, field_names
from builder.share.publisher import Publisher
from builder.store.sending import Outgoing

SCRIPT = """
import itertools, sys
import mlcroissant as mlc
data = mlc.Dataset(jsonld=sys.argv[1])
assert not data.metadata.ctx.issues.errors, data.metadata.ctx.issues.report()
print(len(data.metadata.ctx.issues.warnings))
count = 0
for record in data.records("samples"):
    count += 1
    assert record["samples/key"] == record["samples/index-key"], record
    assert record["samples/image"].size == (32, 32), record
    assert record["samples/mass"] in (0, 1, -1)
    assert record["samples/target"].decode() in ("Mass", "Pleural_Thickening"), record
print(count)
"""


def python(script: str, *words: object, home: Path) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own: rdflib warns, and mlcroissant keeps files in HOME."""
    command = [sys.executable, "-c", script, *map(str, words)]
    environment = {**os.environ, "HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_mlcroissant_reads_each_image_with_its_labels(
    shared_folder: Path, tmp_path: Path, manifest: Manifest
) -> None:
    done = python(SCRIPT, shared_folder / "croissant.json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert manifest.plan is not None
    assert done.stdout.split() == ["0", str(manifest.plan.synthetic)]


def test_mlcroissant_finds_another_shard(shared_folder: Path, tmp_path: Path) -> None:
    shard = next((shared_folder / "data").glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    done = python(SCRIPT, shared_folder / "croissant.json", home=tmp_path)
    assert done.returncode != 0
    assert "Hash" in done.stderr


def test_every_file_has_its_size_and_hash(text_of: Callable[[str], str]) -> None:
    record = json.loads(text_of("croissant.json"))
    files = [f for f in record["distribution"] if f["@type"] == "cr:FileObject"]
    assert all(len(file["sha256"]) == 64 for file in files)
    assert {file["contentUrl"] for file in files} >= {"metadata/train.parquet"}
    assert record["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    for name in ("license", "creator", "datePublished", "url", "version"):
        assert record[name], name


def test_the_publishers_words_are_there(manifest: Manifest, publisher: Publisher) -> None:
    said = replace(publisher, url="https://example.org/d", cite="@misc{x}", limitations="Hernia.")
    listed = Outgoing(path="data/a.tar", size=1, sha256="0" * 64)
    record = json.loads(croissant_json(manifest, said, [listed], listed))
    assert (record["url"], record["citeAs"]) == ("https://example.org/d", "@misc{x}")
    assert "Hernia." in record["rai:dataLimitations"]
    assert record["rai:dataUseCases"] == ["Research on class imbalance."]


def test_a_citation_is_made_of_what_is_known(manifest: Manifest, publisher: Publisher) -> None:
    text = citation(manifest, publisher)
    assert text.startswith("@misc{gan100,")
    assert "author = {{Chest Imaging Group}}" in text
    assert "year = {2026}" in text
    assert manifest.digest in text


def test_the_description_says_that_no_real_image_is_there(manifest: Manifest) -> None:
    text = description(manifest)
    assert "synthetic chest radiographs" in text
    assert "Mass, Pleural_Thickening" in text
    assert "20 %" in text
    assert "No real image" in text


@pytest.mark.parametrize(
    ("names", "fields"),
    [
        (("Mass", "Lung Lesion"), ("mass", "lung-lesion")),
        (("A b", "a-b", "image"), ("a-b", "a-b-1", "image-2")),
    ],
)
def test_every_pathology_has_a_field_of_its_own(
    names: tuple[str, ...], fields: tuple[str, ...]
) -> None:
    assert field_names(names) == fields
