"""Plans and builds as tables, sentences and JSON."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from builder.blueprint import Blueprint, prepare
from builder.cli import cli
from builder.cli.plan_text import _reuse, packed_text, plan_json, plan_text, show_unshown
from builder.contract import load_manifest
from builder.generators import find
from builder.recipe import Request

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def test_plan_prints_a_table_a_doctor_can_read(xbuild: Xbuild) -> None:
    done = xbuild("plan", "--dataset", "chexpert", "--regime", "10")
    assert done.returncode == 0
    for words in ("Lung Lesion", "paper rendered", "3,500", "other pathologies", "reuse", "proven"):
        assert words in done.stdout
    assert done.stderr == ""


def test_plan_as_json(xbuild: Xbuild) -> None:
    done = xbuild("plan", "--dataset", "chexpert", "--regime", "1", "--json")
    plan = json.loads(done.stdout)
    assert list(plan)[:3] == ["real", "synthetic", "targets"]
    assert type(plan["real"]) is int
    assert type(plan["synthetic"]) is int
    assert [target["pathology"] for target in plan["targets"]] == [
        "Lung Lesion",
        "Pleural Other",
        "Fracture",
    ]
    for target in plan["targets"]:
        assert list(target) == ["pathology", "real_positives", "render", "positives", "share"]
        assert 100 * target["positives"] >= 15 * (plan["real"] + plan["synthetic"])
        assert target["share"] == target["positives"] / (plan["real"] + plan["synthetic"])
    assert sum(target["render"] for target in plan["targets"]) == plan["synthetic"]


def blueprint(clinic: Path) -> Blueprint:
    request = Request(
        dataset="table",
        labels=clinic,
        targets=("Mass", "Pleural_Thickening"),
        share="0.2",
        holdout=("0.1", "0.1"),
    )
    return prepare(request)


def test_the_request_stands_in_the_json_as_it_was_made(clinic: Path) -> None:
    plan = json.loads(plan_json(blueprint(clinic)))
    assert plan["request"]["labels"] == str(clinic)
    assert plan["request"]["generator"] is None  # unset
    assert plan["request"]["share"] == "0.2"
    assert plan["lower_bound"] == plan["synthetic"]
    assert plan["split"]["train"] == plan["real"]
    assert sum(plan["split"].values()) == 60


def test_the_tables_are_aligned_and_their_numbers_are_the_plans(clinic: Path) -> None:
    found = blueprint(clinic)
    plan = found.plan
    lines = plan_text(found).splitlines()
    assert lines[0].startswith(f"gan100: {plan.real} real images of regime 100 % and ")
    head = next(i for i, line in enumerate(lines) if line.startswith("target"))
    assert "paper rendered" not in lines[head]  # other labels than the paper's
    for line, count in zip(lines[head + 1 :], plan.proof().targets, strict=False):
        name, have, before, render, after, share, *_ = line.split()
        assert (name, int(have)) == (count.pathology, count.real_positives)
        assert int(render) == count.render
        assert (int(after), share) == (count.positives, f"{count.share:.2%}")
        assert before == f"{int(have) / plan.real:.2%}"
    others = [line.split()[0] for line in lines if line.startswith("Edema")]
    assert others == ["Edema"]


def test_a_plan_of_targets_alone_says_how_many_real_images_are_like_that(clinic: Path) -> None:
    usual = blueprint(clinic)
    found = prepare(replace(usual.request, vectors="alone"))
    text = plan_text(found)
    labels = found.cohort.train_labels
    mass = labels[labels[:, 0] == 1]
    count = int((mass[:, 1:] != 1).all(axis=1).sum())
    (row,) = (line for line in text.splitlines() if line.startswith("Mass "))
    assert row.endswith(f"  {count} of {len(mass)}")
    (edema,) = (line.split() for line in text.splitlines() if line.startswith("Edema"))
    assert edema[1] == edema[3]  # no synthetic image has it
    assert "no fewer images are enough (proven)." in text
    assert "every other label of it is 0" in text
    assert "every other label" not in plan_text(usual)
    assert json.loads(plan_json(found))["request"]["vectors"] == "alone"


def test_the_command_takes_label_vectors(clinic: Path) -> None:
    words = [*("plan", "--dataset", "table", "--labels", str(clinic), "--holdout", "0.1", "0.1")]
    words += ["--target", "Mass", "--share", "0.2", "--vectors", "alone", "--json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    (mass,) = json.loads(done.stdout)["targets"]
    assert mass["positives"] == mass["real_positives"] + mass["render"]


def test_no_table_of_others_is_printed_where_all_are_targets(clinic: Path) -> None:
    usual = blueprint(clinic)
    assert "\n\nother pathologies " in plan_text(usual)
    rows = [line.rsplit(",", 2)[0] for line in clinic.read_text().splitlines()]
    clinic.write_text("\n".join(rows))
    text = plan_text(prepare(replace(usual.request, targets=("Mass",))))
    assert "other pathologies" not in text
    assert "\n\nEvery target reaches" in text
    assert "\n\n\n" not in text


def test_one_vector_is_one_and_a_mapped_label_is_said(clinic: Path) -> None:
    found = blueprint(clinic)
    assert "generator shows" not in plan_text(found)
    mapped = replace(found, label_map=(("Mass", "Nodule"), ("Edema", "Mass")))
    assert "The generator shows Mass as Nodule, Edema as Mass." in plan_text(mapped)
    rows = np.zeros((4, 3), np.int8)
    assert _reuse(rows) == "4.0× (4×) of 1 vector"
    rows[0] = 1
    assert _reuse(rows) == "2.0× (3×) of 2 vectors"


def test_labels_without_an_image_in_training_are_among_those_that_are_not_shown(
    clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, phantom = blueprint(clinic), find("phantom", 32)
    show_unshown(found, phantom)
    assert capsys.readouterr().err == ""
    unseen = SimpleNamespace(labels=("Mass", "Pleural Thickening", "edema"), unseen=("edema",))
    show_unshown(found, replace(phantom, generator=unseen))
    said = (
        r"Note: phantom cannot show all labels of the \d+ synthetic images\. These will be labelled"
        r" with what they do not show: {}\. --vectors alone avoids it\.\n"
    )
    assert re.fullmatch(said.format(r"Edema \d+"), capsys.readouterr().err)
    show_unshown(found, replace(phantom, generator=SimpleNamespace(labels=("Mass",))))
    two = r"(Edema|Pleural_Thickening) \d+, \w+ \d+"
    assert re.fullmatch(said.format(two), capsys.readouterr().err)


def test_what_was_packed_is_counted_by_split(built: Path) -> None:
    manifest = load_manifest(built / "manifests" / "gan100.json")
    assert packed_text(manifest).startswith("gan100: ")
    assert "training images of regime 100 %" in packed_text(manifest)
