import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import CheckError
from trainer.config import RunPlan
from trainer.experiment import Experiment, devices, run_local_workers


def test_each_gpu_gets_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert devices("auto", None) == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices("cuda", 4) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert devices("cuda:1", 2) == ["cuda:1", "cuda:1"]
    assert devices("cpu", None) == ["cpu"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('1 of 4 runs failed.'); raise SystemExit(1)", r"^1 of 4 runs failed. \(more in "),
        ("raise SystemExit(3)", "^A process ended with exit code 3"),
        (
            "import os; os.kill(os.getpid(), 9)",
            r"ended by signal 9 \(Killed\), maybe because memory ran out \(more in .*resumes the",
        ),
    ],
)
def test_a_process_that_failed_is_named_unless_all_is_complete(
    planned: Callable[..., Experiment],
    finish: Callable[[RunPlan, str], None],
    child: Callable[[str], None],
    tmp_path: Path,
    code: str,
    said: str,
) -> None:
    child(code)
    experiment = planned(seeds=1)
    with pytest.raises(CheckError, match=said):
        run_local_workers(experiment, devices=["cpu", "cpu"], threads=1)
    for job in experiment.jobs:
        finish(job.plan, job.digest)
    run_local_workers(experiment, devices=["cpu"], threads=1)  # others completed the runs
    name = f"job-{platform.node()}-{os.getpid()}-"
    assert {path.name for path in tmp_path.glob("job-*")} == {f"{name}0.log", f"{name}1.log"}
