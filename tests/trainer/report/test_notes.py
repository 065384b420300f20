from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer.report.build_report import build_report
from trainer.report.comparison_report import Report
from trainer.report.notes import notes

Edit = Callable[[Path], Any]
Facts = dict[str, Any]
AsReport = Callable[[Facts], Report]


def notes_of(report: Report) -> list[str]:
    return [note for dataset in report.datasets for note in notes(dataset, report.settings)]


def test_what_must_be_known_first_is_said(report: Report) -> None:
    assert report.notes == (
        "gan1: all images are procedural phantoms, not radiographs.",
        "gan1: no figure below 10 positive test images: Fracture (3).",
        "gan10: all images are procedural phantoms, not radiographs.",
        "gan10: no figure below 10 positive test images: Fracture (3).",
        "gan10: none, flip, oversample were trained on gan1, which does not differ in what"
        " they show.",
    )


def test_synthetic_images_may_be_phantoms_beside_radiographs(
    facts_of_report: Facts, as_report: AsReport
) -> None:
    facts_of_report["datasets"][0]["source"]["dataset"] = "chexpert"
    said = notes_of(as_report(facts_of_report))
    assert "gan1: the synthetic images are procedural phantoms, not radiographs." in said
    facts_of_report["datasets"][0]["generator"]["name"] = "pggan"
    said = notes_of(as_report(facts_of_report))
    assert not [note for note in said if note.startswith("gan1: ") and "phantom" in note]


def test_a_pathology_that_another_label_shows_is_said(
    facts_of_report: Facts, as_report: AsReport
) -> None:
    facts_of_report["datasets"][0]["generator"]["label_map"] = {"Lung Lesion": "Mass"}
    said = notes_of(as_report(facts_of_report))
    mapped = [note for note in said if "--label-map" in note]
    assert mapped == [
        "gan1: the generator shows Lung Lesion as Mass, a label that it knows (--label-map)."
    ]


def test_a_target_that_no_arm_has_learned_is_said(
    facts_of_report: Facts, as_report: AsReport
) -> None:
    arms = facts_of_report["datasets"][0]["arms"]
    for arm, value in zip(arms, (0.49, 0.51, 0.5, 0.53, 0.5, 0.5), strict=False):
        arm["pathologies"]["Lung Lesion"]["auc"] |= {"value": value, "low": 0.44, "high": 0.58}
    said = [note for note in notes_of(as_report(facts_of_report)) if "chance" in note]
    assert said == [
        "gan1: no arm finds Lung Lesion (AUC 0.49 to 0.53) clearly better than chance, so the"
        " verdict there says nothing about the synthetic images: train longer, or check images and"
        " labels."
    ]
    arms[0]["pathologies"]["Lung Lesion"]["auc"]["low"] = 0.501
    assert not [note for note in notes_of(as_report(facts_of_report)) if "chance" in note]


def test_few_positives_are_read_with_care(facts_of_report: Facts, as_report: AsReport) -> None:
    facts_of_report["datasets"][0]["positives"]["Lung Lesion"]["positives"] = 49
    said = "gan1: fewer than 50 positive test images, read with care: Lung Lesion (49)."
    assert said in notes_of(as_report(facts_of_report))


def test_few_seeds_are_said(facts_of_report: Facts, as_report: AsReport) -> None:
    none, _, gan, *_ = facts_of_report["datasets"][0]["arms"]
    none["runs"], gan["runs"] = none["runs"][:1], gan["runs"][:2]
    said = notes_of(as_report(facts_of_report))
    assert (
        "gan1: an arm with one seed says nothing about other seeds; its interval covers patients"
        " alone." in said
    )
    assert (
        "gan1: two seeds (gan) do not show how much seeds differ. Where an arm has two, the logits"
        " of all arms' seeds are assumed to vary alike; where they do not, an interval may be far"
        " too narrow." in said
    )


def test_without_a_plain_control_nothing_can_have_helped(
    facts_of_report: Facts, as_report: AsReport
) -> None:
    arms = facts_of_report["datasets"][0]["arms"]
    facts_of_report["datasets"][0]["arms"] = [
        arm for arm in arms if arm["title"] not in ("none", "flip")
    ]
    said = notes_of(as_report(facts_of_report))
    for arm in ("gan", "pretrain"):
        assert (
            f"gan1: no arm with the real images alone was trained as {arm} was, so {arm} cannot be"
            " said to have helped." in said
        )


def test_arms_of_different_recipes_are_compared_with_a_note(
    run_writer: Callable[..., Path], edit: Edit, tmp_path: Path
) -> None:
    run_writer(tmp_path, "none", 0)
    folder = run_writer(tmp_path, "gan", 0)
    edit(folder).set("config.lr", 0.01)
    edit(folder).set("config.init", "imagenet")
    found = build_report([tmp_path], min_positives=10, command="")
    for said in ("lr (none 0.001, gan 0.01)", "init (none random, gan imagenet)"):
        assert f"gan1: the arms were trained with different {said}." in found.notes


def test_weights_to_begin_with_are_the_same_wherever_their_file_lies(
    run_writer: Callable[..., Path], edit: Edit, tmp_path: Path
) -> None:
    places = {("none", 0): "/a/w.pth", ("none", 1): "/b/w.pth", ("gan", 0): "/c/v.pth"}
    for (arm, seed), place in places.items():
        run = edit(run_writer(tmp_path, arm, seed))
        run.set("config.init", place)
        run.set("config.init_sha256", "a" * 64)
    found = build_report([tmp_path], min_positives=10, command="")
    assert not [note for note in found.notes if "init" in note]
    run.set("config.init_sha256", "b" * 64)
    found = build_report([tmp_path], min_positives=10, command="")
    assert any("different init_sha256" in note for note in found.notes)


def test_what_went_differently_in_training_is_said(
    facts_of_report: Facts, as_report: AsReport
) -> None:
    dataset = facts_of_report["datasets"][1]
    arm = dataset["arms"][2]
    arm["steps"] = 1200
    arm["runs"][1]["unread"] = 2000
    arm["runs"][1]["config"]["ranks"] = 4
    arm["runs"][2]["val_auc_mean"] = None
    said = notes_of(as_report(facts_of_report))
    assert "gan10: up to 2,000 val and test images of a run could not be read." in said
    assert "gan10: a run has no AUC on val, so the lowest loss there chose its epoch." in said
    ranks = "some runs were trained by 1 and 4 processes, which changes weights a little"
    assert f"gan10: {ranks}." in said
    steps = "none 240, flip 240, gan 1,200, oversample 240"
    assert f"gan10: the arms took different numbers of steps ({steps})." in said
