"""Generators by name, with an argument, or as a file; and their identities."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from builder import generators
from builder.contract import CheckError, UsageError, sha256_file
from builder.generators import GeneratorFacts, nih64

WEIGHTS = Path(nih64.__file__).with_suffix(".safetensors")


def test_a_name_gives_a_generator_and_its_identity() -> None:
    assert generators.load("phantom").resolution == 224
    loaded = generators.find("phantom", 32)
    assert (loaded.name, loaded.generator.resolution) == ("phantom", 32)
    assert len(loaded.sha256) == 64
    facts = loaded.facts()
    assert facts.labels == loaded.generator.labels
    names = ["name", "sha256", "resolution", "labels", "latent_size"]
    assert [field.name for field in fields(GeneratorFacts)] == names


def test_code_is_the_identity_of_a_generator_without_weights() -> None:
    one, other = (generators.find("phantom", size) for size in (32, 64))
    assert one.sha256 == other.sha256 != sha256_file(Path(nih64.__file__))


def test_a_file_of_weights_calls_the_generator_that_it_names() -> None:
    loaded = generators.find(str(WEIGHTS), 64)
    assert (loaded.name, loaded.sha256) == ("pggan", sha256_file(WEIGHTS))
    assert generators.find(f"pggan:{WEIGHTS}", 64).sha256 == loaded.sha256


def test_an_unknown_generator_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"use a \.safetensors file or one of .*pggan.*phantom"):
        generators.load("phantasm", 32)


@pytest.mark.parametrize("name", ["absent.safetensors", "folder.safetensors"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(UsageError, match=f"Cannot read the generator .*{name}: there is no such"):
        generators.load(str(tmp_path / name), 32)


def test_a_folder_is_told_how_it_is_given(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder: give .* pipeline as diffusers:/"):
        generators.load(str(tmp_path), 32)


@pytest.mark.parametrize("data", [b"", b"\x08", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_file_that_is_no_generator_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "g.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckError, match="is not a generator"):
        generators.load(str(path), 32)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{", "header of .* is not valid JSON"),
        ("[" * 100_000, "header of .* nested too deeply"),
        ("[1]", "is not a generator: its header is refused"),
        ("{}", "its header is refused: it has no field generator"),
        ('{"generator": 7}', "expected text, got a whole number at generator"),
    ],
    ids=["cut", "deep", "list", "empty", "number"],
)
def test_a_header_that_names_no_generator_is_refused(
    tmp_path: Path, header: str, message: str
) -> None:
    path = tmp_path / "g.safetensors"
    path.write_bytes(save({"w": torch.zeros(1)}, metadata={"header": header}))
    with pytest.raises(CheckError, match=message):
        generators.load(str(path), 32)


def test_a_header_that_names_an_unknown_generator_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    header = json.dumps({"generator": "stylegan9"})
    path.write_bytes(save({"w": torch.zeros(1)}, metadata={"header": header}))
    with pytest.raises(UsageError, match=r"use a \.safetensors file or one of"):
        generators.load(str(path), 32)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("phantom", r"phantom has no option 'mood': it takes flaw"),
        ("nih64", r"nih64 has no option 'mood': it takes precision"),
    ],
)
def test_an_option_that_a_generator_does_not_take_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        generators.load(name, 64, (("mood", "calm"),))


def test_names_and_options_are_checked_without_a_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a generator was made")

    monkeypatch.setattr(nih64.pggan, "_read", never)
    for name in ("nih64", str(WEIGHTS)):
        generators.check_named(name)
        generators.check_named(name, (("precision", "bf16"),))
    with pytest.raises(UsageError, match="nih64 has no option 'mood'"):
        generators.check_named("nih64", (("mood", "calm"),))
    with pytest.raises(UsageError, match="No generator is called 'phantasm'"):
        generators.check_named("phantasm")


def test_a_folders_identity_follows_every_file_and_no_downloaders_notes(
    tmp_path: Path,
) -> None:
    (tmp_path / "unet").mkdir()
    for name in ("model_index.json", "unet/weights"):
        (tmp_path / name).write_text(name)

    def identity() -> str:
        return generators._identity(nih64.load, str(tmp_path))

    before = identity()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "notes").write_text("fetched today")
    assert identity() == before
    (tmp_path / "unet" / "weights").write_text("other")
    assert identity() != before


def test_callers_share_a_generator_that_was_loaded() -> None:
    assert generators.find("phantom", 48) is generators.find("phantom", 48)


@pytest.mark.parametrize(("item", "name"), [("`phantom`", "phantom"), ("`nih64` and", "nih128")])
def test_the_page_lists_the_labels_of_what_comes_along(item: str, name: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "generators.md").read_text()
    listed = text.partition(f"- {item}")[2].partition(":")[2].partition(".")[0]
    assert [label.strip() for label in listed.split(",")] == [*generators.load(name).labels]
