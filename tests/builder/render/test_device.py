"""What pixels depend on where a GPU makes them; no GPU is needed to tell."""

import platform
import threading

import pytest
import torch

from builder.contract import UsageError
from builder.render import Generator, device_facts, exact, on_gpu


def test_on_a_cpu_there_is_nothing_to_note(fake: Generator) -> None:
    assert not on_gpu(fake)
    assert device_facts(fake) == {}


def test_the_kind_of_a_cpu_is_noted_where_torch_computes_there_and_others_differ(
    fake: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "device", "cpu", raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert device_facts(fake) == {"device": "x86_64 with AVX2"}
    monkeypatch.setattr(fake, "alike_cpus", ("AVX2", "AVX512"), raising=False)
    assert device_facts(fake) == {}
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert device_facts(fake) == {"device": "x86_64 with DEFAULT"}


def test_card_and_versions_are_noted(fake: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "device", "cuda", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Card 9")
    monkeypatch.setattr(torch.version, "cuda", "99.1")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 98765)
    assert device_facts(fake) == {"device": "Card 9", "cuda": "99.1", "cudnn": "98765"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"Card {i}")
    with pytest.raises(UsageError, match=r"differ \(Card 0, Card 1\).* by CUDA_VISIBLE_DEVICES"):
        device_facts(fake)


@pytest.mark.parametrize("tf32", [False, True])
def test_flags_are_exact_inside_and_as_before_outside(tf32: bool) -> None:
    def flags() -> tuple[bool, ...]:
        cudnn = torch.backends.cudnn
        matmul = torch.backends.cuda.matmul.allow_tf32
        return (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul)

    before = flags()
    with exact(tf32=tf32):
        assert flags() == (False, True, tf32, tf32)
    assert flags() == before


def test_one_thread_launches_at_a_time() -> None:
    """The flags are the process's: another thread must not change them meanwhile."""
    inside = threading.Event()

    def other() -> None:
        with exact(tf32=True):
            inside.set()

    thread = threading.Thread(target=other)
    with exact():
        thread.start()
        assert not inside.wait(0.05)
        assert not torch.backends.cudnn.allow_tf32
    thread.join(5)
    assert inside.is_set()
