import hashlib
from pathlib import Path

import pytest

from builder.contract import CheckError
from builder.store import OutOfReach, sending
from builder.store.sending import Outgoing, Store, check_source, made, mebibytes

STORE = Store(scheme="s3", shown="s3://bucket/set")


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(sending.time, "sleep", found.append)
    return found


def failing(*errors: Exception) -> tuple[list[Exception], object]:
    left = list(errors)

    def ask() -> str:
        if left:
            raise left.pop(0)
        return "there"

    return left, ask


def test_what_may_pass_is_asked_again_with_growing_waits(waits: list[float]) -> None:
    _, ask = failing(ConnectionError(), TimeoutError(), ConnectionError())
    assert STORE.send("a.tar", ask) == "there"
    assert waits == [1.0] * (1 + 2 + 4)  # in slices, so that an end in between is noticed


def test_what_will_not_pass_is_refused_at_once(waits: list[float]) -> None:
    _, ask = failing(PermissionError("secret"))
    with pytest.raises(CheckError, match=r"Cannot send a\.tar to s3://bucket/set: access is ref"):
        STORE.send("a.tar", ask)
    assert waits == []


def test_what_sends_nothing_is_not_called_sending() -> None:
    _, ask = failing(PermissionError("secret"))
    with pytest.raises(CheckError, match=r"^Cannot reach s3://bucket/set: access is refused"):
        STORE.ask(ask)
    _, ask = failing(*[ConnectionError()] * 9)
    with pytest.raises(OutOfReach, match=r"^Cannot reach s3://bucket/set: 7 attempts failed"):
        STORE.ask(ask)
    _, ask = failing(TimeoutError())
    assert STORE.ask(ask) == "there"


def test_the_cause_of_a_failure_counts() -> None:
    error = RuntimeError("wrapped")
    error.__cause__ = PermissionError()
    _, ask = failing(error)
    with pytest.raises(CheckError, match="access is refused"):
        STORE.send("a.tar", ask)


def test_errors_that_the_caller_knows_are_passed_on() -> None:
    _, ask = failing(FileExistsError())
    with pytest.raises(FileExistsError):
        STORE.send("a.tar", ask, FileExistsError)


def test_in_the_end_it_is_said_without_secrets() -> None:
    left, ask = failing(*[ConnectionError("http://key@host")] * 9)
    with pytest.raises(OutOfReach, match="7 attempts failed, the last one with ConnectionError; "):
        STORE.send("a.tar", ask)
    assert len(left) == 2


def test_a_file_that_changed_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    file = Outgoing(path="data/a.tar", size=3, sha256=digest, source=path)
    check_source(file)
    check_source(made("README.md", b"text"))
    path.write_bytes(b"two")
    with pytest.raises(CheckError, match="changed before it was sent"):
        check_source(file)


def test_sizes_are_rounded_up() -> None:
    assert [mebibytes(size) for size in (0, 1, 1 << 20, (1 << 20) + 1)] == [0, 1, 1, 2]
