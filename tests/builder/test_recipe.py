"""Requests, the recipes that they become, and what cannot become one."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import click
import pytest

from builder.cli import cli
from builder.cli.options import number
from builder.contract import MAX_SAMPLES, CheckError, UsageError
from builder.contract.radiograph import Reading
from builder.contract.record import as_record
from builder.labels import LabelTable, read_labels
from builder.labels.source import TableOptions
from builder.recipe import (
    GeneratorSpec,
    RealRecipe,
    RealRequest,
    Recipe,
    Request,
    resolve_name,
    resolve_real,
    resolve_targets,
)


@pytest.fixture
def table(clinic: Path) -> LabelTable:
    return read_labels("table", labels=clinic)


@pytest.mark.parametrize(
    ("name", "stem", "regime", "expected"),
    [
        (None, "gan", "10", "gan10"),
        (None, "real", "62.5", "real62_5"),
        ("mine", "gan", "10", "mine"),
        ("real100", "gan", "10", "real100"),
    ],
)
def test_a_name_has_a_default(name: str | None, stem: str, regime: str, expected: str) -> None:
    assert resolve_name(name, stem, regime) == expected


@pytest.mark.parametrize("name", ["", "real", "real-62_5", "Gan 10", "a/b", "..", "x" * 41])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"The name {name!r} cannot be used"):
        resolve_name(name, "gan", "10")


def test_a_generator_is_described_once() -> None:
    assert Request(dataset="nih").generator_spec() == GeneratorSpec(name="nih128", image_size=224)
    assert Request(dataset="table").generator_spec().name == "phantom"
    spec = Request(
        dataset="nih",
        generator="pggan:a.safetensors",
        image_size=64,
        options=("steps=4", "guidance=a=b"),
        precision="bf16",
    ).generator_spec()
    assert spec == GeneratorSpec(
        name="pggan:a.safetensors",
        image_size=64,
        options=(("steps", "4"), ("guidance", "a=b"), ("precision", "bf16")),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("steps",), "takes NAME=VALUE, got 'steps'"),
        (("=4",), "takes NAME=VALUE, got '=4'"),
        (("steps=1", "steps=2"), "sets each option once"),
        (("precision=bf16",), "the precision is set by --precision"),
    ],
)
def test_unclear_options_are_refused(options: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Request(dataset="nih", options=options).generator_spec()


def test_targets_are_named_as_in_the_table(table: LabelTable) -> None:
    request = Request(dataset="table", targets=("mass", "pleural thickening"))
    assert resolve_targets(request, table) == ("Mass", "Pleural_Thickening")
    with pytest.raises(UsageError, match="No pathology is called 'Gout': --target takes one of"):
        resolve_targets(Request(dataset="table", targets=("Gout",)), table)
    with pytest.raises(UsageError, match=r"^--target names Mass twice: leave one of them out\.$"):
        resolve_targets(Request(dataset="table", targets=("Mass", "mass")), table)
    long = tuple("x" * 45 + end for end in "ab")
    with pytest.raises(UsageError, match="do not differ in their first 40 letters"):
        resolve_targets(
            Request(dataset="table", targets=long), replace(table, pathologies=("Mass", *long))
        )


def test_without_a_name_the_rare_pathologies_are_targets(table: LabelTable) -> None:
    request = Request(dataset="table", rare_below="0.12")
    assert resolve_targets(request, table) == ("Pleural_Thickening",)


def test_a_real_recipe_has_every_default(table: LabelTable) -> None:
    recipe = resolve_real(RealRequest(dataset="table", codec="png"), table)
    assert (recipe.name, recipe.image_size, recipe.quality) == ("real100", 224, 0)
    assert recipe.labels_sha256 == table.sha256
    assert None not in asdict(recipe).values()
    assert recipe.image.codec == "png"
    assert resolve_real(RealRequest(dataset="table"), table).quality == 95


def test_real_shards_depend_on_neither_name_nor_regime(table: LabelTable) -> None:
    one = resolve_real(RealRequest(dataset="table", name="a"), table)
    other = resolve_real(RealRequest(dataset="table", name="b", regime="10"), table)
    assert one.real_part() == other.real_part()
    assert {*asdict(one)} - {*one.real_part()} == {"name", "regime"}
    assert one.train_folder == other.train_folder == "real"
    own = resolve_real(RealRequest(dataset="table", regime="62.5"), table)
    assert own.train_folder == "real-62_5"


def test_real_shards_depend_on_how_tables_and_greys_are_read(table: LabelTable) -> None:
    plain = resolve_real(RealRequest(dataset="table"), table)
    assert plain.reading == Reading()
    changes: list[dict[str, Any]] = [
        {"table": TableOptions(match="stem")},
        {"split": "official"},
        {"depth": 12},
        {"window": "full"},
        {"upsample": True},
    ]
    for change in changes:
        other = resolve_real(RealRequest(dataset="table", **change), table)
        assert other.real_part() != plain.real_part()
    deep = RealRequest(dataset="table", depth=12, window="percentile", upsample=True)
    assert resolve_real(deep, table).reading == Reading(
        depth=12, window="percentile", upsample=True
    )


def test_recipes_have_no_default() -> None:
    """Whoever adds a field must resolve it."""
    for kind in (RealRecipe, Recipe):
        with pytest.raises(TypeError, match="missing"):
            kind()
    assert {field.name for field in fields(RealRecipe)} < {field.name for field in fields(Recipe)}


BOUNDS = {
    "seed": (RealRequest, 0, 2**63 - 1),
    "shard_size": (RealRequest, 1, MAX_SAMPLES),
    "image_size": (RealRequest, 16, 1024),
    "depth": (RealRequest, 8, 16),
    "batch": (Request, 1, 10**6 - 1),
    "max_per_real": (Request, 1, 100_000),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_recipe_may_hold_what_the_options_allow_and_no_more(name: str) -> None:
    kind, least, most = BOUNDS[name]
    for value in (least, most):
        assert getattr(as_record({"dataset": "nih", name: value}, kind, "it"), name) == value
    for value in (least - 1, most + 1) if name != "max_per_real" else (0,):
        with pytest.raises(CheckError, match=f" at {name}"):
            as_record({"dataset": "nih", name: value}, kind, "it")
    option = next((o for o in cli.commands["synth"].params if o.name == name), None)
    assert option is not None
    if isinstance(option.type, click.IntRange):
        assert option.type.min == least
        assert option.type.max in (most, None)


@pytest.mark.parametrize("text", ["0.15", "100", "1e1", "-1", "0.000000001", "9.5e9", "-0"])
def test_a_recipe_may_hold_each_number_of_an_option(text: str) -> None:
    said = {"dataset": "nih", "regime": number(text), "holdout": [number(text)] * 2}
    assert as_record(said, RealRequest, "it").regime == number(text)
