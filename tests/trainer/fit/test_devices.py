import pytest
import torch
from torch import nn

from builder.contract import UsageError
from builder.contract.precision import Precision
from trainer.fit import devices
from trainer.fit.devices import connect, device_facts, pick_device, total


def test_a_device_that_is_not_here_is_refused() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("warp", "cuda:77"):
        with pytest.raises(UsageError, match=f"--device {name} is not available"):
            pick_device(name)


def test_one_process_is_one_rank_even_inside_a_slurm_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SLURM_NTASKS", "8"), ("SLURM_PROCID", "3"), ("SLURM_JOB_NAME", "night")):
        monkeypatch.setenv(name, value)
    with connect("cpu", "fp32") as fabric:
        assert (fabric.world_size, fabric.global_rank, fabric.device.type) == (1, 0, "cpu")
        values = torch.tensor([1.0, 2.0])
        summed = total(fabric, values)
        assert torch.equal(summed, values)
        assert summed.data_ptr() != values.data_ptr()


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_that_of_the_products(precision: Precision, kind: torch.dtype) -> None:
    layer = nn.Linear(3, 2)
    with connect("cpu", precision) as fabric, fabric.autocast():
        assert layer(torch.ones(1, 3)).dtype == kind
    assert layer.weight.dtype == torch.float32


def test_tf32_and_fp32_are_two_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = pytest.raises(UsageError, match=r"--precision tf32 is for NVIDIA GPUs .* on cpu: use")
    with refused, connect("cpu", "tf32"):
        pass
    monkeypatch.setattr(devices, "check_precision", lambda *_: None)  # as if there were a GPU
    for precision, coarse in (("tf32", True), ("fp32", False)):
        with connect("cpu", precision):  # type: ignore[arg-type]
            assert torch.backends.cudnn.allow_tf32 is coarse
            assert torch.backends.cuda.matmul.allow_tf32 is coarse


@pytest.mark.parametrize(("visible", "own"), [(4, 2), (1, 0)])
def test_a_rank_opens_its_own_gpu_alone(
    monkeypatch: pytest.MonkeyPatch, visible: int, own: int
) -> None:
    opened: list[int] = []
    for name, number in (
        ("WORLD_SIZE", 8),
        ("LOCAL_WORLD_SIZE", 4),
        ("LOCAL_RANK", 2),
        ("RANK", 6),
    ):
        monkeypatch.setenv(name, str(number))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    monkeypatch.setattr(torch.cuda, "set_device", opened.append)
    for name in ("num_cuda_devices", "_get_all_visible_cuda_devices"):
        module = "lightning_fabric.accelerators.cuda"
        found = visible if name[0] == "n" else [*range(visible)]
        monkeypatch.setattr(f"{module}.{name}", lambda found=found: found)
    with pytest.raises(UsageError):  # there is none, after all
        pick_device("cuda")
    assert opened == [own]
    fabric = devices._one_of(8, torch.device("cuda"), "fp32")
    assert fabric.device == torch.device("cuda", own)
    assert fabric._strategy._timeout == devices.TIMEOUT  # type: ignore[attr-defined]


def test_a_run_notes_card_torch_and_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_facts(torch.device("cpu")) == {"torch": torch.__version__}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    assert device_facts(torch.device("cuda", 1)) == {
        "torch": torch.__version__,
        "card": "card 1",
        "cudnn": "91002",
    }
