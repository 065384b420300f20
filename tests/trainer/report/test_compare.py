import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trainer.report.build_report import across


@pytest.fixture(scope="module")
def facts(run_folders: Path) -> dict[str, Any]:
    return across([run_folders], min_positives=10, command="xtrain report runs")


@pytest.fixture(scope="module")
def recompute() -> ModuleType:
    path = Path(__file__).with_name("recompute.py")
    spec = importlib.util.spec_from_file_location("recompute", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find(rows: list[dict[str, Any]], **asked: Any) -> dict[str, Any]:
    (row,) = [row for row in rows if all(row[k] == v for k, v in asked.items())]
    return row


def test_the_facts_are_plain_json_without_nan(facts: Any):
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_every_number_is_recomputed_from_the_predictions(facts: Any, recompute: ModuleType):
    assert recompute.faults(facts) == []


def test_the_recomputation_notices_a_wrong_number(facts: Any, recompute: ModuleType):
    wrong = json.loads(json.dumps(facts))
    wrong["datasets"] = wrong["datasets"][1:]
    arm, row = wrong["datasets"][0]["arms"][2], wrong["datasets"][0]["comparisons"][0]
    arm["pathologies"]["Lung Lesion"]["auc"]["value"] += 1e-6
    arm["pathologies"]["Lung Lesion"]["sensitivity"] += 1e-3
    row["high"] += 0.2
    wrong["datasets"][0]["comparisons"][1]["holm"] /= 2
    said = recompute.faults(wrong)
    assert len(said) == 4, said


@pytest.mark.parametrize("key", ["error", "degrees", "seed_share"])
def test_the_recomputation_notices_a_wrong_part_of_an_interval(
    facts: Any, recompute: ModuleType, key: str
):
    wrong = json.loads(json.dumps(facts))
    row = wrong["datasets"][0]["comparisons"][0]
    row[key] = row[key] * 1.02 if key != "seed_share" else (row[key] + 0.5) % 1
    assert len(recompute.faults(wrong)) == 1


@pytest.mark.parametrize("level", [0.1, 0.01])
def test_the_recomputation_notices_intervals_of_another_level(
    run_folders: Path, recompute: ModuleType, monkeypatch: pytest.MonkeyPatch, level: float
):
    monkeypatch.setattr("trainer.evaluate.inference.LEVEL", level)
    found = across([run_folders / "gan1"], min_positives=10, command="")
    noticed = [words for words in recompute.faults(found) if " is not ± " in words]
    assert len(noticed) > 3


def test_the_drawn_truth_is_found(facts: Any):
    rows = facts["datasets"][0]["comparisons"]
    verdicts = {
        (arm, name): find(rows, arm=arm, control="none", pathology=name)["verdict"]
        for arm in ("gan", "pretrain", "oversample")
        for name in ("Lung Lesion", "Pleural Other", "Fracture")
    }
    assert verdicts["gan", "Lung Lesion"] == "helped"
    assert verdicts["pretrain", "Pleural Other"] == "hurt"
    assert verdicts["oversample", "Lung Lesion"] == "no evidence"
    assert verdicts["gan", "Fracture"] == "no verdict"


def test_what_is_compared_with_what(facts: Any):
    pairs = {(row["arm"], row["control"]) for row in facts["datasets"][0]["comparisons"]}
    controls = ("none", "flip", "oversample")
    assert pairs == {
        *((arm, control) for arm in ("gan", "pretrain") for control in controls),
        ("flip", "none"),
        ("oversample", "none"),
    }


def test_other_pathologies_have_differences_without_verdict(facts: Any):
    row = find(
        facts["datasets"][0]["comparisons"], arm="gan", control="none", pathology="No Finding"
    )
    assert not row["target"]
    assert "verdict" not in row
    assert row["low"] < row["value"] < row["high"]


def test_few_positives_have_no_figure_anywhere(facts: Any):
    dataset = facts["datasets"][0]
    assert dataset["positives"]["Fracture"]["positives"] < 10
    for arm in dataset["arms"]:
        assert list(arm["pathologies"]["Fracture"]) == ["missing"]
    row = find(dataset["comparisons"], arm="gan", control="none", pathology="Fracture")
    assert "value" not in row
    assert any("no figure below 10 positives in test: Fracture (3)" in n for n in facts["notes"])


def test_a_higher_bar_leaves_out_more(run_folders: Path):
    found = across([run_folders / "gan10"], min_positives=110, command="")
    (dataset,) = found["datasets"]
    assert [arm["title"] for arm in dataset["arms"]] == ["gan"]
    assert "auc" in dataset["arms"][0]["pathologies"]["Lung Lesion"]
    assert list(dataset["arms"][0]["pathologies"]["Pleural Other"]) == ["missing"]
    assert dataset["conclusions"][0]["verdict"] == "no control"


def test_subgroups_are_those_of_the_table(facts: Any):
    rows = facts["datasets"][0]["subgroups"]
    assert {(row["group"], row["value"]) for row in rows} == {
        ("view", "ap"), ("view", "pa"), ("view", "lateral"), ("sex", "female"), ("sex", "male"),
        ("age", "20-40"), ("age", "60-80"),
    }  # fmt: skip
    sexes = [row for row in rows if row["group"] == "sex" and row["pathology"] == "Lung Lesion"]
    assert sum(row["images"] for row in sexes) == 900
    assert (
        sum(row["positives"] for row in sexes)
        == (facts["datasets"][0]["positives"]["Lung Lesion"]["positives"])
    )
    female = find(rows, value="female", pathology="Lung Lesion")
    assert female["auc"]["gan"]["value"] > female["auc"]["none"]["value"]
    assert find(female["differences"], arm="gan", control="none")["low"] > 0


def test_one_seed_is_said_to_be_one(run_writer: Callable[..., Path], tmp_path: Path):
    for arm in ("none", "gan"):
        run_writer(tmp_path, arm, 0)
    found = across([tmp_path], min_positives=10, command="")
    assert any("says nothing of other seeds" in note for note in found["notes"])
    row = find(
        found["datasets"][0]["comparisons"], arm="gan", control="none", pathology="Lung Lesion"
    )
    assert row["seed_share"] == 0
    assert row["verdict"] == "one seed"
    sentence = found["datasets"][0]["conclusions"][0]["sentence"]
    assert "with one seed, gan was better than none, which another seed may not" in sentence
    assert "oversample" not in sentence


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "report.json"
    facts = json.loads(path.read_text())
    facts["config"] |= changes
    path.write_text(json.dumps(facts))


def test_what_all_arms_have_in_common_is_a_note_and_no_name(
    run_writer: Callable[..., Path], tmp_path: Path
):
    for arm in ("none", "gan", "oversample"):
        for seed in (0, 1):
            edit(run_writer(tmp_path, arm, seed), augment="flip", steps="own")
    found = across([tmp_path], min_positives=10, command="")
    dataset = found["datasets"][0]
    assert [arm["title"] for arm in dataset["arms"]] == ["none", "gan", "oversample"]
    assert "gan1: every arm was trained with flip, own steps." in found["notes"]
    assert dataset["conclusions"][0]["over_balancing"] is not None


def test_arms_of_different_recipes_are_compared_with_a_note(
    run_writer: Callable[..., Path], tmp_path: Path
):
    run_writer(tmp_path, "none", 0)
    edit(run_writer(tmp_path, "gan", 0), lr=0.01, init="imagenet")
    found = across([tmp_path], min_positives=10, command="")
    for words in ("lr (none 0.001, gan 0.01)", "init (none random, gan imagenet)"):
        assert f"gan1: the arms were trained with different {words}." in found["notes"]


@pytest.mark.parametrize(
    "seeds",
    [
        {"none": 2, "gan": 2},
        {"none": 2, "gan": 4},
        {"none": 1, "gan": 2},
        {"none": 2, "gan": 3, "flip": 2},
    ],
)
def test_few_seeds_and_other_numbers_of_them_are_recomputed_too(
    seeds: dict[str, int],
    run_writer: Callable[..., Path],
    recompute: ModuleType,
    tmp_path: Path,
):
    for arm, number in seeds.items():
        for seed in range(number):
            run_writer(tmp_path, arm, seed)
    found = across([tmp_path], min_positives=10, command="")
    assert recompute.faults(found) == []
    two = "; ".join(arm for arm, number in seeds.items() if number == 2)
    notes = [note for note in found["notes"] if "two seeds (" in note]
    assert [f"two seeds ({two}) do not" in note for note in notes] == [True] * bool(two)


def test_it_is_the_same_every_time(run_folders: Path, facts: Any):
    assert across([run_folders], min_positives=10, command="xtrain report runs") == facts
