"""Which precision a device has, which one is chosen, and what TF32 is set to."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from builder.contract import UsageError, precision
from builder.contract.precision import (
    Precision,
    arithmetic,
    check_precision,
    choose_precision,
    cpu_has_bfloat16,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The function that says what CPU and GPU have: (cpu=, gpu=)."""

    def have(*, cpu: bool = False, gpu: bool = False) -> None:
        monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: cpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: gpu)

    return have


def test_the_flags_of_a_cpu_are_those_that_linux_lists(tmp_path: Path) -> None:
    facts = tmp_path / "cpuinfo"
    for text, has in (
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 sha_ni\n", True),
        ("flags\t\t: fpu avx512f avx512_vnni\n", False),
        ("Features\t: fp asimd i8mm bf16 dgh\n", True),
        ("model name\t: bf16\n", False),
    ):
        facts.write_text(text)
        assert cpu_has_bfloat16(facts) is has
    assert not cpu_has_bfloat16(tmp_path / "absent")


def test_a_cpu_is_tried_where_it_can_be_faster(flags: Callable[..., None]) -> None:
    asked: list[Precision] = []

    def seconds(found: dict[Precision, list[float]], precision: Precision) -> float:
        asked.append(precision)
        return found[precision].pop(0)

    flags(cpu=True)
    for bf16, chosen in (([0.1, 9, 0.89], "bf16"), ([0.1, 0.95, 0.92], "fp32")):
        found: dict[Precision, list[float]] = {"fp32": [9, 1, 1.5], "bf16": list(bf16)}
        assert choose_precision(CPU, lambda p, found=found: seconds(found, p)) == chosen
    assert asked == ["fp32", "bf16"] * 6
    flags(cpu=False)
    assert choose_precision(CPU, lambda _: 1 / 0) == "fp32"


def test_a_gpu_is_known_by_its_kind(flags: Callable[..., None]) -> None:
    for has, chosen in ((True, "bf16"), (False, "fp32")):
        flags(gpu=has)
        assert choose_precision(GPU, lambda _: 1 / 0) == chosen


def test_a_precision_that_the_device_does_not_have_is_refused(flags: Callable[..., None]) -> None:
    flags(gpu=True)
    for name in precision.PRECISIONS:
        check_precision(name, GPU)
    with pytest.raises(UsageError, match=r"tf32 is for NVIDIA GPUs since 2020, .* on cpu: use"):
        check_precision("tf32", CPU)
    check_precision("bf16", CPU)
    flags(gpu=False)
    for name in ("tf32", "bf16"):
        with pytest.raises(UsageError, match=f"--precision {name} is"):
            check_precision(name, GPU)


@pytest.mark.parametrize(("name", "coarse"), [("fp32", False), ("tf32", True), ("bf16", True)])
def test_tf32_is_on_unless_float32_is_asked_for(name: Precision, coarse: bool) -> None:
    def now() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = now()
    with arithmetic(name):
        assert now() == (coarse, coarse)
        with arithmetic("fp32"):
            assert now() == (False, False)
        assert now() == (coarse, coarse)
    assert now() == before
    with pytest.raises(UsageError), arithmetic(name):
        raise UsageError("Something is wrong.")
    assert now() == before
