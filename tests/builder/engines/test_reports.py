import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.checks import RejectedSample
from builder.contract import CheckError, Sample, UsageError
from builder.contract.radiograph import BadImage
from builder.engines.reports import kinds_of, report_bad_images, report_rejects
from builder.write import Shard

BAD = (BadImage(image="a,b.png", reason="missing"), BadImage(image="c.png", reason="truncated"))


def test_bad_images_are_listed_and_stop_the_build(
    shard_of: Callable[..., Shard], real: Callable[..., Sample], tmp_path: Path
) -> None:
    report = tmp_path / "left-out.csv"
    shards = [shard_of((real(1),), bad=BAD[:1]), shard_of((real(2),), bad=BAD[1:])]
    with pytest.raises(CheckError, match=r"2 real images cannot be packed, the first is a,b\.png"):
        report_bad_images(shards, report, skip_bad=False)
    with report.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["image", "reason"],
            ["a,b.png", "missing"],
            ["c.png", "truncated"],
        ]
    report_bad_images(shards, report, skip_bad=True)


def test_a_report_goes_when_there_is_nothing_to_list(
    shard_of: Callable[..., Shard], tmp_path: Path
) -> None:
    report = tmp_path / "list.csv"
    report.touch()
    report_bad_images([shard_of()], report, skip_bad=False)
    assert not report.exists()
    report.touch()
    assert report_rejects([shard_of()], report) == {}
    assert not report.exists()


def test_a_training_set_without_an_image_is_refused(
    shard_of: Callable[..., Shard], real: Callable[..., Sample], tmp_path: Path
) -> None:
    shards = [shard_of(bad=BAD), shard_of((real(1, split="val"),))]
    with pytest.raises(CheckError, match="No real training image could be packed"):
        report_bad_images(shards, tmp_path / "list.csv", skip_bad=True)


def test_a_held_out_part_without_an_image_is_refused(
    shard_of: Callable[..., Shard], real: Callable[..., Sample], tmp_path: Path
) -> None:
    report = tmp_path / "list.csv"
    shards = [shard_of((real(1),)), shard_of(bad=BAD)]
    report_bad_images(shards, report, skip_bad=True)
    with pytest.raises(CheckError, match="No real val image could be packed"):
        report_bad_images(shards, report, skip_bad=True, asked=("train", "val", "test"))


def test_a_part_of_the_shards_may_be_left_without_an_image(
    shard_of: Callable[..., Shard], tmp_path: Path
) -> None:
    """Others may hold the rest of its split."""
    report, shards = tmp_path / "list.csv", [shard_of(bad=BAD)]
    report_bad_images(shards, report, skip_bad=True, asked=None)
    assert len(report.read_text().splitlines()) == 1 + len(BAD)
    with pytest.raises(UsageError, match=f"None of the {len(BAD)} real images can be packed"):
        report_bad_images(shards, report, skip_bad=False, asked=None)
    with pytest.raises(UsageError, match=f"None of the {len(BAD)} real images can be packed"):
        report_bad_images(shards, report, skip_bad=True)


ONE_DEPTH = tuple(
    BadImage(image=f"{n}.png", reason=f"brightest {4000 + n} of 65535: say --depth 12")
    for n in range(3)
)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_nobody_is_told_to_leave_out_every_image(
    shard_of: Callable[..., Shard], real: Callable[..., Sample], tmp_path: Path, skip_bad: bool
) -> None:
    report = tmp_path / "list.csv"
    with pytest.raises(UsageError) as caught:
        report_bad_images([shard_of(bad=ONE_DEPTH)], report, skip_bad=skip_bad)
    assert str(caught.value) == (
        "None of the 3 real images can be packed: all for one reason, the first is 0.png "
        f"(brightest 4000 of 65535: say --depth 12); all are listed in {report}."
    )
    only_val = [shard_of(bad=ONE_DEPTH), shard_of((real(1, split="val"),))]
    with pytest.raises(CheckError, match="No real training image could be packed: all for one"):
        report_bad_images(only_val, report, skip_bad=skip_bad)
    with pytest.raises(UsageError, match=r"packed: 3 of them for one reason, the first is 0\.png"):
        report_bad_images([shard_of(bad=(*BAD, *ONE_DEPTH))], report, skip_bad=skip_bad)


def test_a_strangers_words_are_printable(
    shard_of: Callable[..., Shard], real: Callable[..., Sample], tmp_path: Path
) -> None:
    bad = (BadImage(image="a\x1b[31m.png", reason="missing\x07"),)
    with pytest.raises(CheckError) as caught:
        report_bad_images([shard_of((real(1),), bad=bad)], tmp_path / "l.csv", skip_bad=False)
    assert str(caught.value).isprintable()


def test_reasons_that_differ_in_numbers_are_of_one_kind() -> None:
    assert kinds_of(ONE_DEPTH) == {"brightest 0 of 0: say --depth 0": 3}
    assert len(kinds_of((*ONE_DEPTH, *BAD))) == 3


def test_rejects_are_counted_by_reason(
    shard_of: Callable[..., Shard], synthetic: Callable[..., Sample], tmp_path: Path
) -> None:
    reasons = ("too dark", "a copy", "too dark")
    rejects = tuple(
        RejectedSample(sample=synthetic(i), reason=reason) for i, reason in enumerate(reasons)
    )
    report = tmp_path / "rejected.csv"
    counts = report_rejects([shard_of(rejects=rejects[:2]), shard_of(rejects=rejects[2:])], report)
    assert counts == {"a copy": 1, "too dark": 2}
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == list(reasons)
    assert rows[1] == {"key": "x-mass-0000001", "target": "Mass", "draw": "1", "reason": "a copy"}


def test_names_and_reasons_are_no_formulas_for_a_spreadsheet(
    shard_of: Callable[..., Shard], tmp_path: Path
) -> None:
    bad = (BadImage(image="=1+1.png", reason="@SUM(A1)"), BadImage(image="-1", reason="missing"))
    with pytest.raises(UsageError, match="None of the 2 real images"):
        report_bad_images([shard_of((), bad=bad)], tmp_path / "l.csv", skip_bad=True)
    rows = list(csv.reader((tmp_path / "l.csv").read_text().splitlines()))
    assert rows[1:] == [["'=1+1.png", "'@SUM(A1)"], ["-1", "missing"]]
