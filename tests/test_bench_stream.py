"""The promises of benchmarks/stream.py say of what type the pixels are that they compare."""

import io
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

Rows = dict[str, dict[str, str]]


def answer(rate: int, kind: str) -> dict[str, Any]:
    return {"images": 64, "seconds": 64 / rate, "kind": kind, "missing": 0, "repeated": 0}


@pytest.fixture
def promised(benchmark_script: Callable[[str], ModuleType]) -> Callable[[bool], Rows]:
    """The rows of the promises, as the page of benchmarks reads them: (with ours as float32)."""
    report, bench = (benchmark_script(name) for name in ("stream_report", "bench"))

    def rows(floats: bool) -> Rows:
        found = {
            report.LIMIT: answer(2000, "nothing"),
            report.OURS: answer(1800, "uint8, 1 ch."),
            report.MIXED: answer(1600, "uint8, 1 ch."),
            report.IDIOM: answer(400, "float32, 1 ch."),
            report.MIX: answer(320, "float32, 1 ch."),
            report.PAPER: answer(50, "float32, 1 ch."),
            "DALI on the CPU, 2 threads": answer(1500, "uint8, 1 ch."),
        }
        if floats:
            found[report.FLOAT] = answer(1200, "float32, 1 ch.")
        work = report.Work(folder="", codec="jpg", count=64, side=224)
        made = report.promises(report.Report(work, {name: [one] for name, one in found.items()}))
        console = Console(file=io.StringIO(), width=230)
        console.print(made)
        tables: Rows = bench.tables_of(console.file.getvalue())
        return tables

    return rows


def test_a_promise_over_a_peer_names_both_types(promised: Callable[[bool], Rows]) -> None:
    rows = promised(True)
    idiom = rows["uint8, × webdataset's idiom (float32)"]
    assert (idiom["measured"], idiom["as float32"]) == ("4.50", "3.00")
    assert idiom[""].startswith("met")
    (paper,) = (row for name, row in rows.items() if "the paper's way" in name)
    assert paper["promise"].startswith("uint8, × the paper's way: ")
    assert paper["promise"].endswith(" (float32)")
    assert (paper["measured"], paper["as float32"]) == ("36.00", "24.00")
    mixed = rows["uint8, two origins mixed, × RandomMix (float32)"]
    assert (mixed["measured"], mixed["as float32"], mixed[""]) == ("5.00", "", "met")


def test_a_promise_over_the_same_type_is_named_as_before(
    promised: Callable[[bool], Rows],
) -> None:
    rows = promised(False)
    best = rows["× the best loader of others: DALI on the CPU, 2 threads"]
    assert (best["promised"], best["measured"], best["as float32"]) == ("≥ 1.30", "1.20", "")
    assert rows["uint8, × webdataset's idiom (float32)"]["as float32"] == ""
    (raw,) = (row for name, row in rows.items() if name.startswith("first epoch"))
    assert (raw["as float32"], raw[""]) == ("", "met")
    assert rows["a later epoch, of raw decoding"][""] == "not run"
