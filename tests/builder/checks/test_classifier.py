import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from builder.checks import Context, find_checks
from builder.checks.classifier import load
from builder.contract import Bytes, CheckError, ImageSpec, Sample, UsageError, sha256_file
from builder.contract.weights import WeightsHeader, make_network, weights_bytes


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as xtrain saves it, with random weights; its name has a colon."""
    path = tmp_path_factory.mktemp("classifier") / "best:1.safetensors"
    torch.manual_seed(0)
    header = WeightsHeader(
        pathologies=("Edema", "Mass"),
        image=ImageSpec(height=48, width=48, codec="png", quality=0),
        manifest="0" * 64,
        epoch=1,
    )
    path.write_bytes(weights_bytes(make_network(2), header))
    return path


@pytest.mark.slow
def test_it_rejects_what_it_does_not_see_at_its_sensitivity(
    classifier: Path,
    radiographs: Callable[[int, int], Bytes],
    packed: Callable[..., Context],
    synthetic: Callable[..., Sample],
) -> None:
    held = radiographs(20, 4)
    labels = np.array([[1, i < 3] for i in range(20)], np.int8)
    context = packed(val=(held, labels))
    check = load(f"0.8:{classifier}")
    judge = pickle.loads(pickle.dumps(check.prepared(context, ["Edema"])))
    reasons = judge(held, [synthetic(i, "Edema") for i in range(20)])
    assert sum(reason == "the classifier does not see Edema" for reason in reasons) == 4
    assert judge(held[7:8], [synthetic(7, "Edema")])[0] == reasons[7]
    with pytest.raises(UsageError, match="3 held-out images have it, 10 are needed"):
        check.prepared(context, ["Mass"])


@pytest.mark.parametrize("argument", ["", "0.8:"])
def test_it_needs_a_file(argument: str) -> None:
    with pytest.raises(UsageError, match="--check classifier needs a file: name the best"):
        load(argument)


def test_its_identity_has_the_sensitivity_and_the_weights(classifier: Path) -> None:
    sha256 = sha256_file(classifier)
    assert load(f"0.8:{classifier}").identity == f"classifier:0.8:sha256:{sha256}"
    found = find_checks([f"classifier:{classifier}"])[1]
    assert found.identity == f"classifier:0.9:sha256:{sha256}"
    assert found.needs == ("val",)


def test_a_target_that_it_does_not_know_is_refused(
    classifier: Path,
    radiographs: Callable[[int, int], Bytes],
    packed: Callable[..., Context],
    synthetic: Callable[..., Sample],
) -> None:
    context = packed(val=(radiographs(10, 4), np.ones((10, 2), np.int8)))
    judge = load(str(classifier)).prepared(context, ["Mass"])
    with pytest.raises(UsageError, match="does not know Hernia: it knows Edema, Mass"):
        judge(radiographs(1, 5), [synthetic(0, "Hernia")])


def test_a_damaged_classifier_is_refused(classifier: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(classifier.read_bytes()[:1000])
    with pytest.raises(CheckError, match="is cut, damaged or not a file that xtrain saved"):
        load(str(cut))
    with pytest.raises(UsageError, match=r"absent\.safetensors is missing"):
        load(str(tmp_path / "absent.safetensors"))


def test_too_little_memory_is_one_sentence(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, __: str) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("builder.checks.classifier._network", full)
    with pytest.raises(UsageError, match=r"for the check classifier .*a smaller --batch"):
        load(str(classifier)).classifier(np.zeros((2, 32, 32), np.uint8))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_classifier_computes_where_the_generator_renders(
    classifier: Path,
    packed: Callable[..., Context],
    radiographs: Callable[[int, int], Bytes],
    monkeypatch: pytest.MonkeyPatch,
    device: str,
) -> None:
    """A GPU that the generator does not use would round otherwise, and no recipe would note it."""
    asked: set[str] = set()

    def network(_: Path, where: str) -> Callable[[torch.Tensor], torch.Tensor]:
        asked.add(where)
        return lambda batch: torch.zeros(len(batch), 2)

    monkeypatch.setattr("builder.checks.classifier._network", network)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_, **__: tensor)
    context = packed(val=(radiographs(12, 0), np.ones((12, 2), np.int8)))
    load(str(classifier)).prepared(replace(context, device=device), ["Mass"])
    assert asked == {device}
