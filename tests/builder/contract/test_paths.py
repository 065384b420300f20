from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.contract import write_last


def test_many_writers_of_a_file_leave_one_of_their_files_whole(tmp_path: Path) -> None:
    path, wanted = tmp_path / "below/report.json", [bytes([i]) * 10_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_last(path, data), wanted * 10))
    assert path.read_bytes() in wanted
    assert [*path.parent.iterdir()] == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.json"
    write_last(path, b"before")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_last(path, b"after")
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]
