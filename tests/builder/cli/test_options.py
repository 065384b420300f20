from pathlib import Path

import click
import pytest

from builder.cli import cli
from builder.cli.options import FOLDER, OrUrl, number, seed
from builder.contract import MAX_SAMPLES
from builder.contract.record import MAX_JSON
from builder.contract.sketch import SKETCH_BYTES


@pytest.mark.parametrize(
    ("text", "shortest"),
    [("0.15", "0.15"), ("0.150", "0.15"), ("1e1", "10"), ("9999999999", "9999999999")],
)
def test_a_number_has_one_form(text: str, shortest: str) -> None:
    assert number(text) == shortest


@pytest.mark.parametrize("text", ["ten", "nan", "inf", "1e-10", "", "1e10", "-1e10", "1e999999999"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not a number such as 0\.15"):
        number(text)


@pytest.mark.parametrize("text", ["-1", "1.5", "9223372036854775808", "", "٣", "x"])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a whole number from 0 to"):
        seed(text)
    assert seed("9223372036854775807") == 2**63 - 1


@pytest.mark.parametrize("command", ["synth", "pack", "seal"])
def test_a_shard_has_no_more_images_than_its_notes_can_be_read_for(command: str) -> None:
    (option,) = (each for each in cli.commands[command].params if each.name == "shard_size")
    assert isinstance(option.type, click.IntRange)
    assert (option.type.min, option.type.max) == (1, MAX_SAMPLES)
    assert SKETCH_BYTES * MAX_SAMPLES <= MAX_JSON


@pytest.mark.parametrize("kind", [FOLDER, OrUrl(FOLDER)])
def test_a_path_may_begin_at_home_and_is_not_empty(
    kind: click.ParamType[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kind.convert("~/data", None, None) == tmp_path / "data"
    assert kind.convert("~", None, None) == tmp_path
    assert kind.convert("a~b", None, None) == Path("a~b")
    for text in ("", " "):
        with pytest.raises(click.BadParameter, match="the text is empty: say what is meant"):
            kind.convert(text, None, None)


@pytest.mark.parametrize("command", ["synth", "seal", "rebuild"])
def test_a_generator_without_a_name_is_refused(command: str) -> None:
    (option,) = (each for each in cli.commands[command].params if each.name == "generator")
    with pytest.raises(click.BadParameter, match="the text is empty"):
        option.type.convert("", option, None)
    assert option.type.convert("phantom", option, None) == "phantom"


@pytest.mark.parametrize("command", ["plan", "synth", "seal"])
def test_no_plan_asks_for_more_images_than_can_be_sealed(command: str) -> None:
    (option,) = (each for each in cli.commands[command].params if each.name == "max_per_real")
    assert isinstance(option.type, click.IntRange)
    assert option.type.max == 100_000
