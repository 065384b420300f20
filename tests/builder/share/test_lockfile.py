import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from builder.blueprint import Blueprint, prepare
from builder.contract import CheckError, Index, Manifest, UsageError, sha256_file
from builder.recipe import RealRecipe, RealRequest, Recipe, Request
from builder.share import lockfile
from builder.share.lockfile import Own, recall, request_of

PATH = Path("manifests/gan100.json")
WORKED_OUT = {"quality", "labels_sha256", "generator_sha256"}  # of a recipe, not asked for


def with_recipe(manifest: Manifest, **changed: object) -> Manifest:
    return replace(manifest, recipe={**manifest.recipe, **changed})


def test_a_recipe_gives_the_request_and_the_request_the_recipe(
    manifest: Manifest, clinic: Path
) -> None:
    recalled = recall(manifest, PATH, Own(labels=clinic), anyway=False)
    assert json.loads(json.dumps(recalled.recipe.noted())) == manifest.recipe
    assert recalled.refusals == ()
    assert recalled.request.labels == clinic


def test_every_field_of_a_recipe_is_asked_for_or_worked_out_again() -> None:
    """A field that is added to a recipe alone could not be rebuilt."""
    for recipe, request in ((RealRecipe, RealRequest), (Recipe, Request)):
        only = {f.name for f in fields(recipe)} - {f.name for f in fields(request)}
        assert only <= WORKED_OUT


CHANGED: dict[str, object] = {
    "views": "frontal",
    "split": "official",
    "depth": 12,
    "window": "percentile",
    "upsample": True,
    "seed": 7,
    "codec": "png",
    "label_map": ["Mass=Nodule"],
    "vectors": "alone",
    "precision": "bf16",
    "options": ["flaw=blur"],
    "holdout": ["0.2", "0.1"],
    "checks": ["constant", "copy:0.01", "duplicate"],
}


@pytest.mark.parametrize("field", CHANGED)
def test_a_field_is_found_by_its_name(manifest: Manifest, field: str) -> None:
    value = CHANGED[field]
    request = request_of(with_recipe(manifest, **{field: value}), PATH, Own())
    found = getattr(request, field)
    expected = value[1:] if field == "checks" else value  # type: ignore[index]
    assert (list(found) if isinstance(found, tuple) else found) == expected


def test_options_of_the_table_are_found_by_their_names(manifest: Manifest) -> None:
    table = {**manifest.recipe["table"], "patient_column": "Subject", "label_columns": ["A", "B"]}
    request = request_of(with_recipe(manifest, table=table), PATH, Own())
    assert request.table.patient_column == "Subject"
    assert request.table.label_columns == ("A", "B")


def test_a_recipe_of_an_earlier_version_lacks_fields(manifest: Manifest) -> None:
    old = {n: v for n, v in manifest.recipe.items() if n not in ("table", "split", "depth")}
    request = request_of(replace(manifest, recipe=old), PATH, Own())
    assert request.split == "hash"


STRANGE: dict[str, tuple[dict[str, object], str]] = {
    "a later version": ({"sharpness": 3}, "does not know the field sharpness of its recipe"),
    "a file of ours": ({"labels": "/etc/passwd"}, "does not know the field labels"),
    "a folder of ours": ({"root": "/home"}, "does not know the field root"),
    "another kind": ({"seed": "7"}, "its recipe is refused"),
    "a regime that is no number": ({"regime": "1/0"}, "expected text .* at regime"),
    "a regime of words": ({"regime": "x"}, "expected text .* at regime"),
    "a regime of a billion digits": ({"regime": "1e999999999"}, "expected text .* at regime"),
    "a number with a line break": ({"regime": "100\n"}, "expected text .* at regime"),
    "a share that is no number": ({"share": "1/0"}, "expected text .* at share"),
    "a rarity that is no number": ({"rare_below": "nan"}, "expected text .* at rare_below"),
    "a holdout of words": ({"holdout": ["a", "b"]}, r"expected text .* at holdout\[0\]"),
    "a seed of 70 digits": ({"seed": 10**70}, "of at most 9223372036854775807 at seed"),
    "a seed below zero": ({"seed": -1}, "of at least 0 at seed"),
    "shards of no image": ({"shard_size": 0}, "of at least 1 at shard_size"),
    "shards of too many images": ({"shard_size": 1 << 21}, "of at most 500000 at shard_size"),
    "images of a few pixels": ({"image_size": 8}, "of at least 16 at image_size"),
    "images of too many pixels": ({"image_size": 10**6}, "of at most 1024 at image_size"),
    "seven bits of grey": ({"depth": 7}, "unknown word 7 at depth"),
    "no image at a time": ({"batch": 0}, "of at least 1 at batch"),
    "no image for a real one": ({"max_per_real": 0}, "of at least 1 at max_per_real"),
    "a hundred checks more": ({"checks": ["copy"] * 101}, "at most 100 at checks"),
    "targets without end": ({"targets": ["Mass"] * 20_000}, "at most 10000 at targets"),
    "an unknown dataset": ({"dataset": "zz\x1b"}, "built from the dataset 'zz.', and this version"),
    "an unknown word": ({"views": "all of them"}, "its recipe is refused"),
    "a path as generator": ({"generator": "pggan:/tmp/x"}, "names no installed generator"),
    "a file as generator": ({"generator": "x.safetensors"}, "names no installed generator"),
    "a generator with a name of kilobytes": ({"generator": "x" * 5000}, "no installed generator"),
    "a check with a file": (
        {"checks": ["constant", "classifier:0.95:sha256:" + "a" * 64]},
        "add --check classifier:FILE, the file with that sha256",
    ),
    "a check with a file of ours": (
        {"checks": ["constant", "classifier:/etc/hostname"]},
        r"a manifest must not say which file is read here: .* --check classifier:FILE",
    ),
    "a check with a number and a file": (
        {"checks": ["classifier:0.95:/etc/hostname"]},
        "a manifest must not say which file is read here",
    ),
    "a check with a file whose name is a number": (
        {"checks": ["classifier:0.95"]},
        "a manifest must not say which file is read here: .* --check classifier:FILE",
    ),
    "a plug-in with a file whose name is a number": (
        {"checks": ["theirs:7"]},
        "a manifest must not say which file is read here: .* --check theirs:FILE",
    ),
    "a check with a file of this folder": (
        {"checks": ["copy:best"]},
        "a manifest must not say which file is read here",
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_recipe_that_cannot_be_followed_is_refused(manifest: Manifest, case: str) -> None:
    changed, message = STRANGE[case]
    with pytest.raises((UsageError, CheckError), match=message):
        request_of(with_recipe(manifest, **changed), PATH, Own())


def test_a_strangers_regular_expression_is_not_run(manifest: Manifest, clinic: Path) -> None:
    """This one would take longer than anybody waits, for a path of thirty letters."""
    table = {**manifest.recipe["table"], "patient_pattern": "(a+)+$"}
    strange = with_recipe(manifest, table=table)
    for anyway in (False, True):
        with pytest.raises(UsageError, match=r"add --patient-pattern '\(a\+\)\+\$' if it is"):
            recall(strange, PATH, Own(labels=clinic), anyway=anyway)
    assert request_of(strange, PATH, Own(patient_pattern="(b)")).table.patient_pattern == "(b)"
    assert request_of(manifest, PATH, Own(patient_pattern="(b)")).table.patient_pattern == "(b)"


def test_another_regular_expression_than_the_manifests_is_named(
    manifest: Manifest, clinic: Path
) -> None:
    text = clinic.read_text().replace("patient,", "who,")
    clinic.write_text(text)
    labels = {"label_columns": [*manifest.pathologies], "view_column": "view"}
    for theirs, shown in ((None, "null"), ("(.)", r"\(\.\)")):
        table = {**manifest.recipe["table"], **labels, "patient_pattern": theirs}
        recipe = {"table": table, "labels_sha256": sha256_file(clinic)}
        own = Own(labels=clinic, patient_pattern="([0-9]{2})")
        said = rf"otherwise: patient_pattern is {shown} there and \(\[0-9\]\{{2\}}\) here\."
        with pytest.raises(UsageError, match=said):
            recall(with_recipe(manifest, **recipe), PATH, own, anyway=False)


def test_a_plan_of_far_more_images_than_are_listed_is_not_made(
    manifest: Manifest, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def planned(request: Request) -> Blueprint:
        asked.append(request.max_per_real)
        return prepare(request)

    monkeypatch.setattr(lockfile, "prepare", planned)
    greedy = with_recipe(manifest, max_per_real=10**9)
    recalled = recall(greedy, PATH, Own(labels=clinic), anyway=True)
    assert recalled.blueprint is not None
    assert recalled.blueprint.request.max_per_real == 10**9  # as the recipe says
    assert asked[0] < 100
    with pytest.raises(UsageError, match=r"within \d\d synthetic images per real one"):
        recall(with_recipe(greedy, share="0.9999"), PATH, Own(labels=clinic), anyway=True)


def test_a_check_and_a_generator_with_a_file_are_the_users(manifest: Manifest) -> None:
    checks = ["constant", "copy:0.01", "classifier:0.95:sha256:" + "a" * 64]
    own = Own(checks=("classifier:best.safetensors",), generator="g.safetensors")
    request = request_of(with_recipe(manifest, checks=checks, generator="pggan"), PATH, own)
    assert isinstance(request, Request)
    assert request.checks == ("copy:0.01", "classifier:best.safetensors")
    assert request.generator == "g.safetensors"


def test_an_argument_that_is_no_number_is_the_users(manifest: Manifest) -> None:
    strange = with_recipe(manifest, checks=["classifier:/etc/hostname"])
    request = request_of(strange, PATH, Own(checks=("classifier:mine.safetensors",)))
    assert isinstance(request, Request)
    assert request.checks == ("classifier:mine.safetensors",)
    small = with_recipe(manifest, checks=["constant", "copy:1e-05", "copy:0.5", "duplicate"])
    request = request_of(small, PATH, Own())
    assert isinstance(request, Request)
    assert request.checks == ("copy:1e-05", "copy:0.5", "duplicate")


def test_a_generator_whose_weights_are_not_here_is_asked_for(
    manifest: Manifest, clinic: Path
) -> None:
    with pytest.raises(UsageError, match=r"was rendered by .* name its file by --generator\. \("):
        recall(with_recipe(manifest, generator="pggan"), PATH, Own(labels=clinic), anyway=False)


def test_the_real_half_needs_a_copy_of_the_images(nih_once: tuple[Manifest, Index, Path]) -> None:
    manifest, _, path = nih_once
    with pytest.raises(UsageError, match=r"has a real half, and the images of nih .* add --root"):
        recall(with_recipe(manifest, real="pack"), path, Own(), anyway=False)
    assert recall(manifest, path, Own(), anyway=False).refusals == ()


@pytest.mark.parametrize("kind", ["merged", "rebuilt_from"])
def test_what_was_made_from_others_is_refused(manifest: Manifest, kind: str) -> None:
    source: dict[str, Any] = {**manifest.source, kind: {"name": "gan1"}}
    with pytest.raises(UsageError, match="which its source names: rebuild"):
        request_of(replace(manifest, source=source), PATH, Own())


def test_all_that_differs_is_named_at_once(manifest: Manifest, clinic: Path) -> None:
    changed = replace(
        with_recipe(manifest, generator_sha256="0" * 64, quality=90),
        software={**manifest.software, "numpy": "0.1", "gone": "1"},
    )
    with pytest.raises(UsageError) as error:
        recall(changed, PATH, Own(labels=clinic), anyway=False)
    text = str(error.value)
    for name in ("quality is 90", "generator_sha256 is 000", "numpy is 0.1", "gone is 1 there"):
        assert name in text
    assert "here unknown" not in text
    assert len(recall(changed, PATH, Own(labels=clinic), anyway=True).refusals) == 4
