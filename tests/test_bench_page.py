"""The page of benchmarks says of each promise what the printed tables hold."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PRINTED = """`python benchmarks/write.py`

A machine, 2026-11-30, 9 s.

```
| writer | images/s | × encode and write | 2 processes | bytes/image |
|---|---:|---:|---:|---:|
| write_shard, jpg q95 | 6,000 | 0.80 | 12,000 | 14,428 |
| write_shard, png | 4,294 | 0.58 | 8,064 | 26,396 |
| webdataset + simplejpeg q95 | 3,000 | 0.57 | 7,733 | 16,476 |
| webdataset, its png default | 202 | 0.03 | 395 | 26,880 |
```
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "bench", raising=False)
    import bench

    module: ModuleType = bench
    return module


def test_promises_are_read_from_what_was_printed(bench: ModuleType) -> None:
    page = bench.page_of({"write": PRINTED})
    assert "| JPEG, of encoding and writing alone | 0.88 | 0.80 | **not met** |" in page
    assert "| JPEG, × webdataset with the same encoder | 1.80 | 2.00 | met |" in page
    assert "| JPEG, × MosaicML's MDSWriter | 1.00 | – | not run |" in page
    assert "| lossless, × webdataset's png | 20.00 | 21.26 | met |" in page
    assert "Not run: Shards into shuffled batches, Rendered images" in page


def test_what_a_benchmark_promises_itself_is_on_the_page(bench: ModuleType) -> None:
    row = "| a later epoch | ≥ 0.90 | 0.85 | 0.8 – 0.9 | 1.00 | NOT MET |"
    table = f"| promise | promised | measured | rounds | limit | |\n|--|--|--|--|--|--|\n{row}\n"
    page = bench.page_of({"stream": table})
    assert "| a later epoch | 0.90 | 0.85 | **not met** | [Shards into shuffled" in page


def test_a_benchmark_that_runs_again_leaves_the_others_sections(bench: ModuleType) -> None:
    page = bench.page_of({"write": PRINTED, "plan": "`x`\n\n```\nregime\n```\n"})
    assert bench.sections_of(page) == {"write": PRINTED, "plan": "`x`\n\n```\nregime\n```\n"}
    assert bench.page_of(bench.sections_of(page)) == page


def test_the_page_in_docs_is_computed_from_its_own_sections(bench: ModuleType) -> None:
    page = (ROOT / "docs/benchmarks.md").read_text()
    assert bench.page_of(bench.sections_of(page)) == page
