import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError, UsageError
from builder.contract.record import to_json
from trainer.report import load_report

Edit = Callable[[Path], Any]


def test_a_report_is_read_as_it_was_written(run: Path) -> None:
    report = load_report(run)
    assert (report.manifest.name, report.arm, report.config.seed) == ("gan1", "gan", 0)
    assert report.targets == ("Lung Lesion", "Pleural Other", "Fracture")
    assert (report.regime, report.label_table, report.generator_name) == ("1", "demo", "phantom")
    assert json.loads(to_json(report)) == json.loads((run / "report.json").read_text())


def test_a_later_version_may_add_fields(run: Path, edit: Edit) -> None:
    before = load_report(run)
    edit(run).set("colour", "blue")
    edit(run).set("config.colour", "blue")
    edit(run).set("shown.flipped", 3)
    assert load_report(run) == before


def test_a_dataset_of_real_images_alone_has_neither_plan_nor_generator(
    run: Path, edit: Edit
) -> None:
    edit(run).set("plan", None)
    edit(run).set("generator", None)
    report = load_report(run)
    assert (report.targets, report.generator_name) == ((), None)


@pytest.mark.parametrize("regime", [None, "0.5", "100"])
def test_a_dataset_may_have_any_regime(run: Path, edit: Edit, regime: str | None) -> None:
    edit(run).set("build.regime", regime)
    assert load_report(run).regime == regime
    edit(run).remove("build.regime")
    assert load_report(run).regime is None


def test_a_folder_without_a_report_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"holds no complete run of xtrain: it has no report\.json"
    ):
        load_report(tmp_path)


@pytest.mark.parametrize("field", ["controls", "manifest", "config", "command", "software"])
def test_a_run_of_an_earlier_version_says_how_to_renew_it(
    run: Path, edit: Edit, field: str
) -> None:
    edit(run).remove(field)
    said = rf"was written by an earlier version \(it has no {field}\): run xtrain evaluate {run} "
    with pytest.raises(UsageError, match=said):
        load_report(run)


def test_a_plan_of_an_earlier_version_is_told_by_its_bound(run: Path, edit: Edit) -> None:
    edit(run).set("plan.fewest", 998)
    edit(run).remove("plan.lower_bound")
    with pytest.raises(UsageError, match=r"earlier version \(it has no plan\.lower_bound\)"):
        load_report(run)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("steps", "240", "expected a whole number, got text at steps"),
        ("steps", True, "expected a whole number, got true or false at steps"),
        ("shown", {"real": 1}, "it has no field synthetic at shown"),
        ("generator", "phantom", "got text at generator"),
        ("source", None, "at source"),
        ("images", [], "expected an object, got a list at images"),
        ("images.train real", -1, "at images"),
        ("software", [], "expected an object, got a list at software"),
        ("best_epoch", 4, "best_epoch is 4, but there are only 3 epochs"),
        ("best_epoch", 0, "at best_epoch"),
        ("best_val_auc_mean", "0.7", "got text at best_val_auc_mean"),
        ("plan.targets", [{"pathology": "Fracture"}], "at plan.targets[0]"),
        ("plan.targets", {}, "expected a list, got an object at plan.targets"),
        (
            "plan.targets.0.pathology",
            "Pleural Other",
            "'Pleural Other' occurs twice in plan.targets",
        ),
        ("plan.targets.0.pathology", "Hernia", "target 'Hernia' is not among its pathologies"),
        ("plan.targets.0.render", 1.5, "at plan.targets[0].render"),
        ("plan.share", [3], "at plan.share"),
        ("plan.share", [3, 0], "plan.share [3, 0] is no fraction between 0 and 1"),
        ("pathologies.0.pathology", "Fracture", "'Fracture' occurs twice in pathologies"),
        ("pathologies", [{"pathology": "No Finding"}], "at pathologies[0]"),
        ("build.regime", "0", "build.regime '0' is no share in per cent"),
        ("build.regime", "1e999999999", "build.regime '1e999999999' is no share"),
        ("build.regime", "one", "build.regime 'one' is no share"),
        ("build.regime", [], "build.regime [] is no share"),
        ("config.seed", "0", "at config.seed"),
        ("config.arm", "none", "its arm is gan, but config.arm is none"),
        ("config.arm", "vae", "at config.arm"),
        ("arm", "none", "its arm is none, but config.arm is gan"),
        ("arm", "vae", "at arm"),
        ("config.augment", "turn", "at config.augment"),
        ("config.steps", "all", "at config.steps"),
        ("config.mix", "<b>", "config.mix '<b>' is no mix"),
        ("config.shards", None, "expected text, got null at config.shards"),
        ("config.skip_bad", 0, "expected true or false, got a whole number at config.skip_bad"),
        ("manifest.name", "../../gan1", "at manifest.name"),
        ("manifest.name", "<script>", "at manifest.name"),
        ("manifest.digest", "x" * 64, "at manifest.digest"),
        ("manifest", "gan1", "expected an object, got text at manifest"),
        ("command", "xtrain \x1b[2J", "'xtrain \ufffd[2J' has control characters"),
        ("build.\u202e", 1, "'\ufffd' has control characters"),
        ("generator.name", ["a", {"b": "\n"}], "'\ufffd' has control characters"),
    ],
    ids=str,
)
def test_a_strangers_report_is_refused_with_what_was_found(
    run: Path, edit: Edit, field: str, value: object, said: str
) -> None:
    edit(run).set(field, value)
    with pytest.raises(CheckError) as refused:
        load_report(run)
    assert f"{run / 'report.json'} is refused: " in str(refused.value)
    assert said in str(refused.value)


def test_a_missing_field_is_named(run: Path, edit: Edit) -> None:
    edit(run).remove("unread")
    with pytest.raises(CheckError, match="it has no field unread"):
        load_report(run)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_are_finite(run: Path, number: str) -> None:
    path = run / "report.json"
    path.write_text(path.read_text().replace('"real": 2050.0', f'"real": {number}'))
    with pytest.raises(CheckError, match="is not valid JSON"):
        load_report(run)


def test_half_a_letter_is_no_text(run: Path, edit: Edit) -> None:
    edit(run).set("source.dataset", "\ud800")
    with pytest.raises(CheckError, match="is not valid JSON"):
        load_report(run)


@pytest.mark.parametrize("text", ["7", "null", '"text"', "[" * 100_000, "{", "\xff"])
def test_what_is_no_report_is_refused(run: Path, text: str) -> None:
    (run / "report.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckError):
        load_report(run)
