import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from builder.contract import UsageError
from trainer.claim import check_out, check_trainable, claim
from trainer.config import RunPlan
from trainer.fit.devices import connect
from trainer.stream.locate import Located
from trainer.sweep import Grid
from trainer.train import sweep, train

PlanOf = Callable[..., tuple[RunPlan, Located]]


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with connect("cpu", "fp32") as connected:
        yield connected


def without_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_used_folder_is_refused_without_resume(
    sealed: Any, plan_of: PlanOf, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty: continue with --resume"):
        train(*plan_of(sealed, tmp_path))
    with pytest.raises(UsageError, match="holds no run to resume"):
        train(*plan_of(sealed, tmp_path, resume=True))
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["config.json", "last.pt", "wandb", "events.out.tfevents.1"])
def test_what_was_begun_can_be_resumed(tmp_path: Path, name: str) -> None:
    check_out(tmp_path / "new", resume=False)
    (tmp_path / name).touch()
    check_out(tmp_path, resume=True)
    with pytest.raises(UsageError, match="is not empty"):
        check_out(tmp_path, resume=False)


def test_weights_without_their_checkpoint_are_refused(tmp_path: Path) -> None:
    for name in ("config.json", "best.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"has lost its last\.pt"):
        check_out(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("split", "words"),
    [("train", "no training images"), ("val", "no validation images .* --holdout 0.05 0.05")],
)
def test_an_empty_split_is_refused(
    tmp_path: Path, sealer: Callable[..., Any], plan_of: PlanOf, split: str, words: str
) -> None:
    counts = {("train", "real"): 20, ("val", "real"): 20, ("test", "real"): 20}
    del counts[split, "real"]
    sealed = sealer(tmp_path / "data", counts=counts)
    with pytest.raises(UsageError, match=words):
        train(*plan_of(sealed, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_synthetic_images_alone_are_refused(sealed: Any) -> None:
    synthetic = [shard for shard in sealed.manifest.shardlist if shard.origin == "synthetic"]
    with pytest.raises(UsageError, match=r"gan10\.json holds only the synthetic images"):
        check_trainable(replace(sealed.manifest, shardlist=tuple(synthetic)), "gan10.json")


def test_images_too_small_for_the_network_are_refused(
    sealed: Any, plan_of: PlanOf, tmp_path: Path
) -> None:
    sealed.save(image=replace(sealed.manifest.image, height=28))
    with pytest.raises(UsageError, match="28×32 pixels are too small"):
        train(*plan_of(sealed, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_too_little_memory_is_one_sentence(tmp_path: Path, fabric: Fabric) -> None:
    out = tmp_path / "run"
    with pytest.raises(UsageError, match="smaller --batch"), claim(out, fabric):
        raise torch.OutOfMemoryError
    assert not out.exists()


def test_a_failure_leaves_files_where_there_are_some(tmp_path: Path, fabric: Fabric) -> None:
    with pytest.raises(ZeroDivisionError), claim(tmp_path, fabric):  # noqa: PT012
        (tmp_path / "last.pt").touch()
        raise ZeroDivisionError
    assert (tmp_path / "last.pt").exists()


def test_two_runs_do_not_share_a_folder(
    tmp_path: Path, fabric: Fabric, locked: Callable[[Path], AbstractContextManager[None]]
) -> None:
    out = tmp_path / "run"
    with locked(out):
        with pytest.raises(UsageError, match="Another xtrain is writing into"), claim(out, fabric):
            raise AssertionError
        assert [path.name for path in out.iterdir()] == [".lock"]
    leftover = out / ".last.pt.1-0a.tmp"  # of a process that was killed
    leftover.touch()
    with claim(out, fabric):
        assert not leftover.exists()
        (out / "report.json").touch()
    assert (out / "report.json").is_file()


def test_a_file_system_without_locks_is_left_to_the_users_care(
    sealed: Any, plan_of: PlanOf, tmp_path: Path, fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", without_locks)
    out = tmp_path / "run"
    with claim(out, fabric):
        other = out / ".last.pt.1-0a.tmp"  # another process may be writing it
        other.touch()
    with claim(out, fabric):
        assert other.exists()
    grid = Grid(lr=(1e-9,), batch=(16,), optimizer=("adam",))
    with pytest.raises(UsageError, match=r"without locks \(No locks available\), so processes"):
        sweep(*plan_of(sealed, tmp_path / "sweep"), grid, None)
