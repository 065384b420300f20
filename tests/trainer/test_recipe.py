import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from builder.contract import CheckError, UsageError
from builder.contract.record import to_json
from trainer.config import describe
from trainer.fit.devices import connect
from trainer.recipe import (
    ARMS,
    ArmName,
    RunConfig,
    but_for_before,
    read_config,
)

RECIPE = [
    "epochs", "batch", "lr", "optimizer", "arm", "augment", "mix", "steps", "init", "seed",
    "precision", "accumulate", "compile", "sync_batchnorm", "network", "synthetic_weight",
    "schedule",
]  # fmt: skip
DATASET = ["manifest", "manifest_sha256", "shards", "shards_root"]
PLACE = [
    "out", "init_sha256", "device", "ranks", "workers", "skip_bad", "card", "torch", "cudnn",
]  # fmt: skip


@pytest.fixture
def config(shared: Any, plan_of: Callable[..., Any]) -> RunConfig:
    plan, found = plan_of(shared, Path("runs/tiny"))
    with connect("cpu", "fp32") as fabric:
        return describe(plan, found.manifest, fabric)


@pytest.fixture
def changed(config: RunConfig, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """The function that writes a config.json with other fields: its folder."""

    def write(fields: dict[str, Any]) -> Path:
        (tmp_path / "config.json").write_text(json.dumps(asdict(config) | fields))
        return tmp_path

    return write


def test_names_are_those_of_the_types() -> None:
    assert get_args(ArmName) == ARMS
    assert len({*ARMS}) == len(ARMS)


def test_a_config_says_first_how_then_on_what_then_where_and_comes_back(
    config: RunConfig, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(to_json(config))
    assert [*json.loads((tmp_path / "config.json").read_text())] == RECIPE + DATASET + PLACE
    assert read_config(tmp_path) == config


def test_the_order_of_the_fields_does_not_matter(config: RunConfig, tmp_path: Path) -> None:
    """Earlier versions wrote the dataset first."""
    facts = asdict(config)
    earlier = {name: facts[name] for name in (*DATASET, "out", *RECIPE, *PLACE)}
    (tmp_path / "config.json").write_text(json.dumps(earlier))
    assert read_config(tmp_path) == config


def test_the_recipe_of_a_config_is_that_of_its_plan(
    config: RunConfig, shared: Any, plan_of: Callable[..., Any]
) -> None:
    plan, _ = plan_of(shared, Path("runs/tiny"))
    assert config.recipe == plan.recipe
    assert [*asdict(config.recipe)] == RECIPE


def test_a_config_may_hold_more_than_we_know(
    config: RunConfig, changed: Callable[[dict[str, Any]], Path]
) -> None:
    assert read_config(changed({"of a later version": 1})) == config


def test_a_folder_without_a_config_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no run of xtrain: it has no config\.json"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arm", "mixup"), ("augment", "cutmix"), ("optimizer", "lion"), ("precision", "fp16"),
        ("steps", "many"), ("epochs", 0), ("epochs", True), ("epochs", 1.5), ("batch", 1),
        ("lr", 0), ("lr", "0.1"), ("seed", -1), ("accumulate", 0), ("compile", 1), ("mix", None),
        ("init", 3), ("shards", None), ("shards_root", 1), ("ranks", 0), ("manifest_sha256", 5),
    ],
)  # fmt: skip
def test_a_changed_config_is_refused_by_its_field(
    changed: Callable[[dict[str, Any]], Path], field: str, value: Any
) -> None:
    with pytest.raises(CheckError, match=rf"config\.json is refused: .* at {field}\.$"):
        read_config(changed({field: value}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"lr": NaN}'])
def test_what_is_no_config_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckError, match=r"config\.json"):
        read_config(tmp_path)


def test_a_config_from_before_the_card_was_noted_is_read(config: RunConfig, tmp_path: Path) -> None:
    old = {k: v for k, v in asdict(config).items() if k not in ("card", "torch", "cudnn")}
    (tmp_path / "config.json").write_text(json.dumps(old))
    read = read_config(tmp_path)
    assert (read.card, read.torch, read.cudnn) == ("", "", "")
    assert read.recipe == config.recipe
    assert config.torch


def test_only_fields_that_earlier_versions_lacked_are_left_out(
    config: RunConfig,
) -> None:
    recipe = config.recipe
    assert {*asdict(recipe)} - {*but_for_before(recipe)} == {
        "sync_batchnorm", "network", "synthetic_weight", "schedule"
    }  # fmt: skip
    other = replace(recipe, network="resnet18", schedule="cosine")
    assert {"network": "resnet18", "schedule": "cosine"}.items() <= but_for_before(other).items()
