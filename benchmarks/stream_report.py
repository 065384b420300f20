"""The results of `stream.py`: a table of all contenders, and each promise with its figure."""

import platform
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from stream_images import CHEXPERT, SIDE, members
from stream_peers import IDIOM, MIX, PAPER, PEERS, Contender, Work

LIMIT = "limit: raw decode from memory, 2 processes"
LIMIT_1 = "limit: raw decode from memory, one core"
OURS = "ours: uint8, 2 threads"
FLOAT = "ours: float32 scaled on the CPU, 2 threads"
LATER = "ours: uint8, 2 threads, a later epoch"
OURS_1 = "ours: uint8, 1 thread, one core"
MIXED = "ours: two origins mixed, 2 threads"
RAM = "ours: --cache ram, its second epoch, 2 threads"

Answers = dict[str, list[dict[str, Any]]]  # by contender, one per round; the last may be an error


@dataclass(frozen=True, slots=True)
class Report:
    """All answers, and the rates in them."""

    work: Work
    found: Answers

    def ran(self, name: str) -> bool:
        """Whether all of its passes ended without an error."""
        return name in self.found and "error" not in self.found[name][-1]

    def rates(self, name: str) -> list[float]:
        """Images per second, one per round."""
        return [answer["images"] / answer["seconds"] for answer in self.found[name]]

    def rate(self, name: str) -> float:
        """Images per second, the median; 0 where it did not run."""
        return statistics.median(self.rates(name)) if self.ran(name) else 0.0

    def times(self, name: str, other: str) -> str:
        """How many times as fast as another."""
        return f"{self.rate(name) / self.rate(other):.2f}" if self.rate(other) else "–"

    def type_of(self, name: str) -> str:
        """Of the pixels that it yields, as `uint8`."""
        return str(self.found[name][-1]["kind"]).partition(",")[0]

    def best(self, kind: str) -> str:
        """The fastest peer that yields `kind`; "" is any."""
        able = [n for n in PEERS if self.ran(n) and self.found[n][-1]["kind"].startswith(kind)]
        return max(able, key=self.rate, default="")

    def absent(self) -> int:
        """Peers that could have run and did not."""
        able = [name for name in PEERS if self.work.codec in PEERS[name].codecs]
        return sum(not self.ran(name) for name in able)

    def once(self, name: str) -> str:
        """`yes` where every pass had each image once, otherwise what the worst one had."""
        count = self.work.count
        faults = ("missing", "repeated")
        missing, repeated = (max(a[fault] for a in self.found[name]) for fault in faults)
        images = max((a["images"] for a in self.found[name]), key=lambda n: abs(n - count))
        if (images, missing, repeated) == (count, 0, 0):
            return "yes"
        return f"NO: {images} images, {missing} missing, {repeated} again"


def table(columns: str, left: set[int]) -> Table:
    """A table of columns separated by |; those numbered in `left` are aligned left."""
    shown = Table(box=box.MARKDOWN)
    for number, words in enumerate(columns.split("|")):
        side = "left" if number in left else "right"
        shown.add_column(words, justify=side, overflow="fold")
    return shown


def results(report: Report, contenders: dict[str, Contender]) -> Table:
    columns = "contender|img/s|× idiom|of limit|yields|each once|shuffle over (how far)|checks"
    shown = table(columns, {0, 4, 5, 6, 7})
    for name, answers in report.found.items():
        who, last = contenders[name], answers[-1]
        words = f"{name} ({last['version']})" if last.get("version") else name
        if "error" in last:
            shown.add_row(words, "not run", "", "", f"reason: {last['error']}")
            continue
        reach = statistics.median(answer["moved"] for answer in answers)
        shown.add_row(
            words,
            f"{report.rate(name):,.0f}",
            report.times(name, IDIOM),
            report.times(name, LIMIT if who.cores > 1 else LIMIT_1),
            last["kind"],
            report.once(name),
            f"{who.shuffle} ({reach:.2f})" if reach >= 0 else who.shuffle,
            who.checks,
        )
    return shown


def promises(report: Report) -> Table:
    """Each promise: the ratio of medians, and the range of ratios over the rounds.

    The last figure is no promise: where a peer yields float32 and we uint8, ours as float32, too.
    """
    any_best, float_best = report.best(""), report.best("float32")
    asked = (
        ("first epoch, every shard hashed, of raw decoding", 0.85, OURS, LIMIT),
        ("a later epoch, of raw decoding", 0.90, LATER, LIMIT),
        ("float32, of raw decoding", 0.68, FLOAT, LIMIT),
        ("one core, of raw decoding on it", 0.88, OURS_1, LIMIT_1),
        ("× webdataset's idiom", 4.5, OURS, IDIOM),
        (f"× the best loader of others: {any_best}", 1.3, OURS, any_best),
        (f"float32, × the best of others: {float_best}", 1.3, FLOAT, float_best),
        (f"× the paper's way: {PAPER}", 30.0, OURS, PAPER),
        ("two origins mixed, × RandomMix", 3.5, MIXED, MIX),
        ("decoded images in memory, × raw decoding", 6.0, RAM, LIMIT),
    )
    columns = "promise|promised|measured|lowest – highest round|a reader at the limit|as float32|"
    shown = table(columns, {0, 6})
    for what, minimum, one, other in asked:
        if not (report.ran(one) and report.ran(other)):
            shown.add_row(what, f"≥ {minimum:.2f}", "–", "", "", "", "not run")
            continue
        types = report.type_of(one), report.type_of(other)
        unlike = other in PEERS and types == ("uint8", "float32")
        each = [a / b for a, b in zip(report.rates(one), report.rates(other), strict=True)]
        shown.add_row(
            f"uint8, {what} (float32)" if unlike else what,
            f"≥ {minimum:.2f}",
            report.times(one, other),
            f"{min(each):.2f} – {max(each):.2f}",
            report.times(LIMIT_1 if other == LIMIT_1 else LIMIT, other),
            report.times(FLOAT, other) if unlike and one == OURS and report.ran(FLOAT) else "",
            verdict(report, minimum, one, other),
        )
    return shown


def verdict(report: Report, minimum: float, one: str, other: str) -> str:
    """Whether the promise is kept; a fast pass that lost an image does not keep it."""
    if report.once(one) != "yes":
        return f"NOT MET: {report.once(one)}"
    if report.rate(one) < minimum * report.rate(other):
        return "NOT MET"
    missing = report.absent() if other in (report.best(""), report.best("float32")) else 0
    return f"met, but {missing} peers did not run" if missing else "met"


def machine(cores: list[int]) -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {len(cores)} cores"


def show(report: Report, contenders: dict[str, Contender], cores: list[int]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 230)
    size = statistics.mean(map(len, members(Path(report.work.folder, "one"))))
    console.print(
        f"{machine(cores)}; {report.work.count:,} images of {SIDE} × {SIDE}, {report.work.codec},"
        f" {size / 1000:.1f} KB each; {PAPER.partition(',')[0]} reads them"
        f" as files of {CHEXPERT[0]} × {CHEXPERT[1]} for the paper's way.\n",
        highlight=False,
    )
    console.print(results(report, contenders), promises(report), sep="\n")
