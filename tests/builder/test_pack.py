"""Files and phantoms as pictures, and what a sample says of its patient."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.contract import PATIENT, Sample
from builder.contract.radiograph import BadImage, Reading
from builder.labels import LabelTable, read_labels
from builder.pack import FilePainter, PhantomPainter, real_painter, real_samples
from builder.render import Picture


@pytest.fixture
def table(clinic: Path) -> LabelTable:
    return read_labels("table", labels=clinic)


def test_files_become_pictures_in_order(table: LabelTable) -> None:
    rows = [5, 0, 1]
    samples = list(real_samples(table, rows, "train", 0))
    painter = real_painter(table, rows, 32, Reading())
    assert isinstance(painter, FilePainter)
    pictures = list(painter.produce(samples))
    assert [p.sample for p in pictures if isinstance(p, Picture)] == samples
    assert {p.pixels.shape for p in pictures if isinstance(p, Picture)} == {(32, 32)}
    alone = next(iter(real_painter(table, [0], 32, Reading()).produce(samples[1:2])))
    assert isinstance(alone, Picture)
    assert np.array_equal(alone.pixels, pictures[1].pixels)


def test_an_unreadable_file_is_a_bad_image(table: LabelTable, clinic: Path) -> None:
    (clinic.parent / "003.png").write_bytes(b"no image")
    samples = list(real_samples(table, [2, 3, 4], "train", 0))
    items = list(real_painter(table, [2, 3, 4], 32, Reading()).produce(samples))
    assert items[1] == BadImage(image="003.png", reason="neither PNG, JPEG, TIFF nor DICOM")
    assert [type(item) for item in items] == [Picture, BadImage, Picture]


def test_the_depth_that_a_table_says_is_that_of_the_file(table: LabelTable, clinic: Path) -> None:
    values = np.random.default_rng(2).integers(0, 1024, (32, 32), dtype=np.uint16)
    Image.fromarray(values).save(clinic.parent / "003.png")
    samples = list(real_samples(table, [3], "train", 0))

    def read(depth: int, reading: Reading) -> Picture | BadImage:
        said = replace(table, rows=table.rows.assign(depth=depth))
        return next(iter(real_painter(said, [3], 32, reading).produce(samples)))

    for depth, reading, most in ((10, Reading(), 1023), (10, Reading(depth=12), 4095)):
        picture = read(depth, reading)
        assert isinstance(picture, Picture)
        assert np.array_equal(picture.pixels, np.floor(values.astype(int) * 255 / most + 0.5))
    doubtful, wrong = read(0, Reading()), read(9, Reading())
    assert isinstance(doubtful, BadImage)
    assert "10-bit data? say --depth 10" in doubtful.reason
    assert isinstance(wrong, BadImage)
    assert wrong.reason.endswith("more than --depth 9 holds (9 bits is what the table says)")


def test_the_demo_shows_phantoms_of_its_rows(table: LabelTable) -> None:
    demo = replace(table, dataset="demo", root=None)
    rows = list(range(60))
    samples = list(real_samples(demo, rows, "train", 0))
    painter = real_painter(demo, rows, 32, Reading())
    assert isinstance(painter, PhantomPainter)
    whole = [picture.pixels for picture in painter.produce(samples)]
    part = real_painter(demo, rows[7:9], 32, Reading()).produce(samples[7:9])
    for mine, theirs in zip(part, whole[7:9], strict=True):
        assert isinstance(mine, Picture)
        assert np.array_equal(mine.pixels, theirs)


def test_keys_and_patients_are_hashes_of_seed_and_table(table: LabelTable) -> None:
    def hashes(seed: int, salted: LabelTable = table) -> list[tuple[str, str]]:
        return [(s.key, s.patient) for s in real_samples(salted, range(60), "val", seed)]

    first = hashes(0)
    assert first == hashes(0)
    assert not {*first} & {*hashes(1)}
    assert not {*first} & {*hashes(0, replace(table, salt=bytes(32)))}
    assert len({key for key, _ in first}) == 60
    assert len({patient for _, patient in first}) == 24
    assert all(PATIENT.fullmatch(patient) for _, patient in first)


def test_a_real_sample_has_no_target_and_no_draw(table: LabelTable) -> None:
    samples: list[Sample] = list(real_samples(table, [3], "test", 0))
    (sample,) = samples
    assert (sample.split, sample.origin, sample.target, sample.draw) == ("test", "real", "", -1)
    assert sample.labels == tuple(table.labels[3].tolist())


def test_no_painter_of_real_images_draws_again(table: LabelTable) -> None:
    assert real_painter(table, [0], 32, Reading()).redraws is None
    assert real_painter(replace(table, dataset="demo"), [0], 32, Reading()).redraws is None
