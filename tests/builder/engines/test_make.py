"""Real shards, and synthetic ones whose checks look at the real images."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from builder import generators
from builder.checks import find_checks
from builder.contract import CheckError, UsageError
from builder.draw import Draw
from builder.engines.make import Renderer, Work, pack_shards, render_shards
from builder.labels import read_labels
from builder.labels.source import TableOptions
from builder.progress import Advance
from builder.recipe import GeneratorSpec, Layout, Recipe
from builder.split import Cohort, split_patients


class Bars:
    """Progress bars that note what they were told."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[int, int]] = {}  # title: total, done

    @contextmanager
    def __call__(self, title: str, total: int) -> Iterator[Advance]:
        self.told[title] = (total, 0)

        def advance(images: int) -> None:
            self.told[title] = (total, self.told[title][1] + images)

        yield advance


@pytest.fixture
def bars() -> Bars:
    return Bars()


@pytest.fixture
def work(tmp_path: Path, bars: Bars) -> Work:
    return Work(out=tmp_path / "out", workers=1, skip_bad=False, progress=bars)


@pytest.fixture
def cohort(clinic: Path) -> Cohort:
    table = read_labels("table", labels=clinic)
    parts = (Fraction(1, 5), Fraction(1, 10))
    return Cohort(table=table, split=split_patients(table.rows["patient"], holdout=parts))


@pytest.fixture
def recipe(cohort: Cohort) -> Recipe:
    return Recipe(
        dataset="table",
        table=TableOptions(),
        name="gan100",
        uncertain="ones",
        views="all",
        split="hash",
        holdout=("0.2", "0.1"),
        seed=0,
        regime="100",
        image_size=32,
        depth=0,
        window="dicom",
        upsample=False,
        codec="png",
        quality=0,
        shard_size=16,
        labels_sha256=cohort.table.sha256,
        share="0.3",
        rare_below="0.05",
        targets=("Mass",),
        max_per_real=5,
        vectors="lp",
        real="pack",
        generator="phantom",
        generator_sha256="",
        options=(),
        label_map=(),
        precision="fp32",
        batch=None,
        checks=("constant",),
    )


@pytest.fixture
def clinic_layout(cohort: Cohort, recipe: Recipe, work: Work) -> Layout:
    return Layout(root=work.out, pathologies=cohort.table.pathologies, image=recipe.image)


@pytest.fixture
def drawn() -> Draw:
    labels = np.eye(3, dtype=np.int8)[np.arange(30) % 3]
    return Draw(
        name="gan100",
        targets=("Mass",),
        target=np.zeros(10, np.int64),
        number=np.arange(10),
        labels=labels[:10] | np.array([1, 0, 0], np.int8),
    )


def test_real_images_are_packed_and_told(
    recipe: Recipe, cohort: Cohort, clinic_layout: Layout, work: Work, bars: Bars
) -> None:
    shards = pack_shards(recipe, cohort, clinic_layout, work)
    assert sum(len(shard.stored) for shard in shards) == 60
    assert bars.told == {"packing real images": (60, 60)}


def test_an_unreadable_image_stops_packing_unless_it_may_be_left_out(
    recipe: Recipe, cohort: Cohort, clinic_layout: Layout, work: Work, clinic: Path
) -> None:
    (clinic.parent / "004.jpg").unlink()
    with pytest.raises(CheckError, match="1 real image cannot be packed"):
        pack_shards(recipe, cohort, clinic_layout, work)
    shards = pack_shards(recipe, cohort, clinic_layout, replace(work, skip_bad=True))
    assert sum(len(shard.stored) for shard in shards) == 59
    assert (work.out / "gan100-left-out.csv").is_file()


@pytest.fixture
def many(cohort: Cohort) -> Cohort:
    """A cohort of a thousand images, none of which is there."""
    rows = np.arange(1000) % 60
    table = replace(
        cohort.table,
        rows=cohort.table.rows.iloc[rows].reset_index(drop=True),
        labels=cohort.table.labels[rows],
    )
    table.rows["file"] = table.rows["image"] = [f"{number}.png" for number in range(1000)]
    return Cohort(table=table, split=split_patients(table.rows["patient"]))


def spoil(cohort: Cohort, folder: Path) -> None:
    for name in cohort.table.rows["file"]:
        (folder / name).write_bytes(b"no image")


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_reason_that_holds_for_all_images_is_found_before_all_are_read(
    recipe: Recipe,
    many: Cohort,
    clinic: Path,
    clinic_layout: Layout,
    work: Work,
    bars: Bars,
    skip_bad: bool,
) -> None:
    spoil(many, clinic.parent)
    with pytest.raises(UsageError, match=r"None of 32 images from all over .* nothing more was"):
        pack_shards(recipe, many, clinic_layout, replace(work, skip_bad=skip_bad))
    assert not bars.told


def test_some_images_or_missing_ones_may_be_left_out(
    recipe: Recipe, many: Cohort, clinic: Path, clinic_layout: Layout, work: Work, bars: Bars
) -> None:
    leaving_out = replace(work, skip_bad=True)
    with pytest.raises(UsageError, match="None of the 1,000 real images can be packed"):
        pack_shards(recipe, many, clinic_layout, leaving_out)
    assert bars.told == {"packing real images": (1000, 1000)}
    spoil(many, clinic.parent)
    whole = (clinic.parent / "002.jpg").read_bytes()
    for row in (many.split.train[0], many.split.val[0]):
        (clinic.parent / f"{row}.png").write_bytes(whole)
    shards = pack_shards(recipe, many, clinic_layout, leaving_out)
    assert sum(len(shard.stored) for shard in shards) == 2


@pytest.mark.parametrize("checks", [(), ("copy:0.4",)])
def test_checks_look_at_the_real_images_that_they_need(
    checks: tuple[str, ...],
    recipe: Recipe,
    drawn: Draw,
    cohort: Cohort,
    clinic_layout: Layout,
    work: Work,
    bars: Bars,
) -> None:
    real = pack_shards(recipe, cohort, clinic_layout, work)
    spec = GeneratorSpec(name="phantom", image_size=32)
    renderer = Renderer(
        spec=spec,
        generator=generators.load(spec.name, spec.image_size),
        batch=8,
        checks=tuple(find_checks(checks)),
    )
    shards, throughput = render_shards(
        recipe, drawn, renderer, real=real, layout=clinic_layout, work=work
    )
    assert sum(len(shard.stored) for shard in shards) == 10
    assert throughput.images >= 10
    looked = len(cohort.split.train) + len(cohort.split.val)
    expected = {"reading real images": (looked, looked)} if checks else {}
    assert {t: n for t, n in bars.told.items() if t.startswith("reading")} == expected


def test_a_shard_of_another_plan_is_refused(
    recipe: Recipe, drawn: Draw, clinic_layout: Layout, work: Work
) -> None:
    renderer = Renderer(
        spec=GeneratorSpec(name="phantom", image_size=32),
        generator=generators.load("phantom", 32),
        batch=8,
        checks=(),
    )
    other = clinic_layout.shards(recipe.name) / "train-00000-of-00009.tar"
    other.parent.mkdir(parents=True)
    other.touch()
    with pytest.raises(UsageError, match="belongs to another plan than today's"):
        render_shards(recipe, drawn, renderer, real=[], layout=clinic_layout, work=work)
    assert [*other.parent.iterdir()] == [other]
