"""The report's numbers against the script that computes them again; whether it notices a fault."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from builder.contract import sha256_bytes, sha256_file
from builder.contract.record import to_json
from trainer.evaluate.external import ExternalTest
from trainer.evaluate.external_scores import ExternalScores, scores_path
from trainer.report.build_report import build_report
from trainer.report.write import write_report

Facts = dict[str, Any]
SCRIPT = Path(__file__).with_name("recompute.py")


@pytest.fixture(scope="module")
def recompute() -> Iterator[ModuleType]:
    """The script that computes a report's numbers without the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        yield importlib.import_module(SCRIPT.stem)


def test_every_number_is_recomputed_from_the_predictions(
    report_json: Facts, recompute: ModuleType
) -> None:
    assert recompute.faults(report_json) == []


def test_a_wrong_number_is_noticed(facts_of_report: Facts, recompute: ModuleType) -> None:
    (dataset,) = facts_of_report["datasets"] = facts_of_report["datasets"][1:]
    figures, row = dataset["arms"][2]["pathologies"]["Lung Lesion"], dataset["comparisons"][0]
    figures["auc"]["value"] += 1e-6
    figures["sensitivity"] += 1e-3
    row["high"] += 0.2
    dataset["comparisons"][1]["holm"] /= 2
    said = recompute.faults(facts_of_report)
    assert len(said) == 4, said


@pytest.mark.parametrize("key", ["error", "degrees", "seed_share"])
def test_a_wrong_part_of_an_interval_is_noticed(
    facts_of_report: Facts, recompute: ModuleType, key: str
) -> None:
    row = facts_of_report["datasets"][0]["comparisons"][0]
    row[key] = row[key] * 1.02 if key != "seed_share" else (row[key] + 0.5) % 1
    assert len(recompute.faults(facts_of_report)) == 1


@pytest.mark.parametrize("level", [0.1, 0.01])
def test_intervals_of_another_level_are_noticed(
    run_folders: Path, recompute: ModuleType, monkeypatch: pytest.MonkeyPatch, level: float
) -> None:
    monkeypatch.setattr("trainer.evaluate.inference.LEVEL", level)
    found = build_report([run_folders / "gan1"], min_positives=10, command="")
    noticed = [
        said for said in recompute.faults(json.loads(to_json(found))) if " is not ± " in said
    ]
    assert len(noticed) > 3


@pytest.mark.parametrize(
    "seeds",
    [
        {"none": 2, "gan": 2},
        {"none": 2, "gan": 4},
        {"none": 1, "gan": 2},
        {"none": 2, "gan": 3, "flip": 2},
    ],
)
def test_few_seeds_and_unequal_numbers_of_them_are_recomputed_too(
    seeds: dict[str, int],
    run_writer: Callable[..., Path],
    recompute: ModuleType,
    tmp_path: Path,
) -> None:
    for arm, number in seeds.items():
        for seed in range(number):
            run_writer(tmp_path, arm, seed)
    found = build_report([tmp_path], min_positives=10, command="")
    assert recompute.faults(json.loads(to_json(found))) == []
    two = "; ".join(arm for arm, number in seeds.items() if number == 2)
    notes = [note for note in found.notes if "two seeds (" in note]
    assert [f"two seeds ({two}) do not" in note for note in notes] == [True] * bool(two)


@pytest.fixture(scope="module")
def unread(run_writer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """JSON of a report on two runs, one of which did not read every image."""
    root = tmp_path_factory.mktemp("unread")
    run_writer(root, "none", 0)
    path = run_writer(root, "gan", 0) / "predictions.parquet"
    table = pd.read_parquet(path)
    labels = [name for name in table if name.startswith("label:")]
    table.loc[:99, labels] = -1
    table.to_parquet(path)
    return to_json(build_report([root], min_positives=10, command=""))


def test_images_that_a_run_did_not_read_count_for_none(unread: str, recompute: ModuleType) -> None:
    assert recompute.faults(json.loads(unread)) == []


def test_curves_and_subgroups_are_recomputed_too(unread: str, recompute: ModuleType) -> None:
    (dataset,) = (facts := json.loads(unread))["datasets"]
    arm = dataset["arms"][0]["pathologies"]["Lung Lesion"]
    arm["roc"][50] += 0.01
    arm["reliability"][1]["images"] += 1
    arm["reliability"][2]["observed"] += 0.01
    row = next(r for r in dataset["subgroups"] if r["pathology"] == "Lung Lesion")
    row["auc"]["gan"]["value"] += 1e-6
    row["differences"][0]["value"] += 1e-6
    row["positives"] += 1
    said = " ".join(recompute.faults(facts))
    for where in ("ROC, point 50", "bin 2 images", "bin 3 observed", "ap Lung Lesion gan AUC",
                  "ap Lung Lesion gan - none", "ap Lung Lesion positives"):  # fmt: skip
        assert f"{where}: the report says" in said
    assert said.count("the report says") == 6


def test_a_difference_without_p_is_recomputed_without(unread: str, recompute: ModuleType) -> None:
    facts = json.loads(unread)
    row = facts["datasets"][0]["comparisons"][0]
    row |= dict.fromkeys(("low", "high", "error", "degrees", "seed_share", "p", "holm"))
    row["value"] += 1
    said = [fault for fault in recompute.faults(facts) if "Holm" not in fault]
    assert len(said) == 1, said
    assert "gan - none Lung Lesion: the report says" in said[0]


@pytest.mark.usefixtures("words_alone")
def test_the_command_reads_what_was_written(run_folders: Path, tmp_path: Path) -> None:
    write_report([run_folders / "gan10"], tmp_path, min_positives=10, command="")
    path = tmp_path / "report.json"
    done = subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "All numbers are those of the predictions.\n")
    facts = json.loads(path.read_text())
    facts["datasets"][0]["arms"][0]["pathologies"]["Lung Lesion"]["sensitivity"] += 0.1
    path.write_text(json.dumps(facts))
    done = subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "gan10 gan Lung Lesion sensitivity: the report says" in done.stdout


THERE = ExternalTest(
    shards="manifests/padchest.json",
    name="padchest",
    digest=sha256_bytes(b"padchest"),
    labels=(("No Finding", "Normal"), ("Lung Lesion", "Nodule"), ("Pleural Other", "Other")),
    left_out=("Fracture",),
)


def score_there(run: Path, like: Path) -> None:
    """Give the run scores on THERE: the probabilities of the run `like`, one image less."""
    path = scores_path(run, THERE)
    path.parent.mkdir()
    table = pd.read_parquet(like / "predictions.parquet").iloc[1:]
    table["patient"] = table["patient"].where(table.index % 2 == 0, "")  # half are unknown
    table.to_parquet(path.with_suffix(".parquet"))
    found = ExternalScores(
        test=THERE, source={}, manifest=sha256_bytes(run.parent.name.encode()), epoch=3, images=899,
        unread=0, scores=(), predictions=sha256_file(path.with_suffix(".parquet")),
    )  # fmt: skip
    path.write_text(to_json(found))


@pytest.fixture(scope="module")
def across(
    run_writer: Callable[..., Path],
    edit: Callable[[Path], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Facts:
    """Two shares of one recipe; of the first also half the weight, and another test set."""
    root = tmp_path_factory.mktemp("across")
    for seed in (0, 1):
        arms = [("dose05", "none"), ("dose05", "oversample"), ("dose05", "gan")]
        arms += [("dose15", "oversample"), ("dose15", "gan")]  # none of dose05 serves it, too
        runs = [run_writer(root, arm, seed, dataset=name) for name, arm in arms]
        light = run_writer(root / "light", "gan", seed, dataset="dose05")
        other = run_writer(root.with_name("others"), "pretrain", seed)
        shutil.copy(other / "predictions.parquet", light)
        edit(light).set("config.synthetic_weight", 0.5)
        for run in (*runs, light):
            share = int(run.parent.name.removeprefix("dose"))
            for field, value in (
                ("real", "e" * 64), ("controls", f"{share:064d}"), ("config.steps", "own"),
                ("build.name", run.parent.name), ("build.share", f"0.{share:02d}"),
                ("plan.share", [share, 100]), ("plan.synthetic", 100 * share),
                ("images.train synthetic", 100 * share),
            ):  # fmt: skip
                edit(run).set(field, value)
        for run, like in ((runs[0], runs[0]), (runs[2], light)):
            score_there(run, like)
    found = build_report([root], min_positives=10, command="")
    facts: Facts = json.loads(to_json(found))
    return facts


def test_other_test_sets_doses_and_variants_are_recomputed_too(
    across: Facts, recompute: ModuleType
) -> None:
    there = across["datasets"][0]["external"][0]
    assert [*there["arms"]] == ["none", "gan"]
    assert len(across["doses"]) == 4  # two targets with figures, two controls
    assert len(across["variants"]) == 6  # two arms, three targets
    assert recompute.faults(across) == []


def test_a_wrong_number_there_or_across_datasets_is_noticed(
    across: Facts, recompute: ModuleType
) -> None:
    facts = deepcopy(across)
    there = facts["datasets"][0]["external"][0]
    there["arms"]["gan"]["Lung Lesion"]["auc"]["value"] += 1e-6
    there["comparisons"][0]["degrees"] *= 1.02
    there["comparisons"][1]["holm"] /= 2
    there["conclusions"][0]["carries_over"] = "reversed"
    there["test"]["patients"] -= 1
    first, second, *_, last = facts["doses"]
    first["points"][1]["value"] += 1e-6
    second["points"][0]["share"] = 0.2
    facts["doses"].remove(last)
    variant, *_ = facts["variants"]
    variant["value"] += 1e-6
    variant["differs"] = ["vectors alone"]
    said = recompute.faults(facts)
    for part in (
        "dose05 on padchest gan Lung Lesion AUC: the report says",
        "gan - none Lung Lesion: the report says",
        "gan Pleural Other: Holm",
        "dose05 on padchest gan Lung Lesion: reversed, not",
        "dose05 on padchest patients: the report says",
        "Lung Lesion, gan, none at dose15: the report says",
        "Lung Lesion, gan, none at dose15: not what its dataset says",
        "share of dose05: the report says 0.2",
        "Pleural Other, gan, oversample: a curve follows",
        "gan Lung Lesion: the report says",
        "the recipes do not differ in vectors alone",
    ):
        assert any(part in fault for fault in said), "\n".join([part, *said])
    assert len(said) == 11, said


def test_what_the_report_leaves_out_is_noticed(across: Facts, recompute: ModuleType) -> None:
    def unchecked(*_: object) -> None:
        """Nothing: no number is looked at."""

    first, settings = across["datasets"][0], across["settings"]
    there = first["external"][0] | {"without": []}
    (said,) = recompute.external_faults(unchecked, first, there, settings)
    assert said == "dose05 on padchest: scored there are none, gan"
    said, *_ = recompute.across_faults(unchecked, across | {"doses": [], "variants": []}, {})
    assert said.endswith(": a curve follows")
    *_, said = recompute.across_faults(unchecked, across | {"doses": [], "variants": []}, {})
    assert said == "variants: 0 references for dose05, dose05, dose15"
    less = {"doses": [], "variants": across["variants"][:-1]}
    *_, said = recompute.across_faults(unchecked, across | less, {})
    assert said == "variants of dose05: not every arm and target, or others"
