import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from builder.contract import UsageError, sha256_bytes
from builder.contract.record import to_json
from trainer import config as module
from trainer.cli import main
from trainer.config import (
    Request,
    RunPlan,
    as_trained,
    describe,
    resolve,
    with_precision,
)
from trainer.fit.devices import connect
from trainer.recipe import RunConfig
from trainer.stream.locate import Located

PlanOf = Callable[..., tuple[RunPlan, Located]]


@pytest.fixture
def config_of() -> Callable[[RunPlan, Located], RunConfig]:
    """The function that describes a plan on this CPU."""

    def make(plan: RunPlan, found: Located) -> RunConfig:
        with connect("cpu", "fp32") as fabric:
            return describe(plan, found.manifest, fabric)

    return make


def test_the_dataset_decides_what_was_not_asked_for(
    shared: Any, plan_of: PlanOf, sealer: Callable[..., Any], tmp_path: Path
) -> None:
    plan, _ = plan_of(shared, None, arm=None)
    assert (plan.recipe.arm, plan.out) == ("gan", Path("runs/tiny-gan"))
    real = sealer(tmp_path, counts={("train", "real"): 20, ("val", "real"): 10})
    plan, _ = plan_of(real, None, arm=None)
    assert (plan.recipe.arm, plan.out) == ("none", Path("runs/tiny-none"))
    plan, _ = plan_of(shared, tmp_path / "mine", arm="none")
    assert (plan.recipe.arm, plan.out) == ("none", tmp_path / "mine")


def test_the_arm_flip_augments(shared: Any, plan_of: PlanOf) -> None:
    assert plan_of(shared, None, arm="flip")[0].recipe.augment == "flip"
    assert plan_of(shared, None, arm="gan", augment="flip")[0].recipe.augment == "flip"
    assert plan_of(shared, None, arm="gan")[0].recipe.augment == "none"


@pytest.mark.parametrize(
    ("asked", "mix"),
    [
        ("real=1", "real=1,synthetic=1"),
        ("synthetic=.50", "real=1,synthetic=0.5"),
        ("synthetic=2.0, real=1.0", "real=1,synthetic=2"),
    ],
)
def test_a_mix_has_one_spelling(shared: Any, plan_of: PlanOf, asked: str, mix: str) -> None:
    assert plan_of(shared, None, mix=asked)[0].recipe.mix == mix


def test_auto_is_decided_once_and_a_resumed_run_keeps_it(
    shared: Any, request_of: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fastest(name: str, network: str, **what: int) -> str:
        assert network == "densenet121"
        tried.append((name, what))
        return "bf16"

    monkeypatch.setattr(module, "fastest", fastest)
    manifest, asked = shared.manifest, request_of(shared, tmp_path, precision="auto")
    with pytest.raises(UsageError, match=r"auto may choose .*these runs are compared"):
        resolve(asked, manifest)
    plan = resolve(with_precision(asked, manifest), manifest)
    assert plan.recipe.precision == "bf16"
    assert "--precision=bf16" in plan.command
    assert tried == [("cpu", {"height": 32, "width": 32, "outputs": 3, "batch": 16})]
    named = request_of(shared, tmp_path, precision="fp32")
    assert with_precision(named, manifest) is named
    plan = resolve(named, manifest)
    with connect("cpu", "fp32") as fabric:
        (tmp_path / "config.json").write_text(to_json(describe(plan, manifest, fabric)))
    again = with_precision(replace(asked, resume=True), manifest)
    assert again.settings.precision == "fp32"
    assert len(tried) == 1


def test_a_mix_that_is_none_is_refused(shared: Any, plan_of: PlanOf) -> None:
    with pytest.raises(UsageError, match="--mix fake=1"):
        plan_of(shared, None, mix="fake=1")


def test_the_command_repeats_the_run(shared: Any, plan_of: PlanOf, tmp_path: Path) -> None:
    plan, _ = plan_of(
        shared,
        tmp_path / "a run",
        compile=True,
        sync_batchnorm=True,
        network="resnet18",
        skip_bad=True,
        mix="real=0.5",
        synthetic_weight=0.25,
        schedule="cosine",
        seed=7,
    )
    asked = main.commands["fit"].make_context("fit", shlex.split(plan.command)[1:]).params
    recipe = asdict(plan.recipe)
    assert {name: asked[name] for name in recipe} == recipe
    assert (asked["shards"], asked["out"]) == (str(shared.path), tmp_path / "a run")
    assert asked["skip_bad"]
    assert (asked["device"], asked["workers"]) == ("cpu", 2)
    assert "--shards-root" not in plan.command
    assert "weight" not in plan_of(shared, None)[0].command


def test_the_config_says_what_was_trained_on(
    shared: Any,
    plan_of: PlanOf,
    config_of: Callable[[RunPlan, Located], RunConfig],
    tmp_path: Path,
) -> None:
    (tmp_path / "init.pth").write_bytes(b"weights")
    plan, found = plan_of(shared, tmp_path / "run", init=str(tmp_path / "init.pth"))
    config = config_of(plan, found)
    assert config.manifest_sha256 == shared.manifest.digest
    assert config.init_sha256 == sha256_bytes(b"weights")
    assert (config.device, config.ranks, config.recipe) == ("cpu", 1, plan.recipe)
    assert config_of(*plan_of(shared, tmp_path / "run")).init_sha256 is None


def test_a_run_that_goes_on_notes_the_weights_that_it_began_with(
    shared: Any,
    plan_of: PlanOf,
    config_of: Callable[[RunPlan, Located], RunConfig],
    tmp_path: Path,
) -> None:
    weights = tmp_path / "init.pth"
    weights.write_bytes(b"first")
    plan, found = plan_of(shared, tmp_path / "run", init=str(weights), resume=True)
    plan.out.mkdir()
    (plan.out / "config.json").write_text(to_json(config_of(plan, found)))
    weights.write_bytes(b"second")
    assert config_of(plan, found).init_sha256 == sha256_bytes(b"second")  # it has no checkpoint
    (plan.out / "last.pt").touch()
    assert config_of(plan, found).init_sha256 == sha256_bytes(b"first")


def test_scoring_elsewhere_does_not_change_what_was_noted_of_the_training(
    shared: Any,
    plan_of: PlanOf,
    config_of: Callable[[RunPlan, Located], RunConfig],
    tmp_path: Path,
) -> None:
    plan, found = plan_of(shared, tmp_path / "run", precision="bf16")
    noted = replace(
        config_of(plan, found), device="cuda", card="H100", ranks=4, workers=3,
        init_sha256="1" * 64, skip_bad=True, shards="there.json",
    )  # fmt: skip
    plan.out.mkdir()
    (plan.out / "config.json").write_text(to_json(noted))
    config, command = as_trained(plan)
    assert config == replace(noted, shards=plan.shards)
    assert command.startswith("torchrun --nproc-per-node=4 --no-python xtrain --shards=")
    assert "--device=cuda --workers=3 --skip-bad" in command
    assert f"--shards={shared.path}" in command
