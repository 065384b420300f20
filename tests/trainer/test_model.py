import pickle
import re
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from builder.contract import CheckError, ImageSpec, UsageError
from builder.contract.checkpoint import load_checkpoint
from builder.contract.weights import WeightsHeader, weights_bytes
from trainer.model import build
from trainer.pretrained import IMAGENET_MEAN, IMAGENET_STD, from_imagenet

NAMES = ("Edema", "Fracture")


def same(a: nn.Module, b: nn.Module, prefix: str = "") -> bool:
    other = b.state_dict()
    return all(
        torch.equal(x, other[name]) for name, x in a.state_dict().items() if name.startswith(prefix)
    )


@pytest.fixture(scope="module")
def imagenet() -> nn.Module:
    """torchvision's network with random weights and random, uneven statistics."""
    torch.manual_seed(7)
    model = torchvision.models.densenet121(weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return model.eval()


def test_random_weights_come_from_the_seed() -> None:
    first = build(NAMES, init="random", seed=1)
    assert same(first, build(NAMES, init="random", seed=1))
    assert not same(first, build(NAMES, init="random", seed=2))


def test_outputs_are_raw_logits() -> None:
    model = build(NAMES, init="random", seed=0)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([-1e6, 1e6]))
        logits = model.eval()(torch.rand(6, 1, 32, 32) * 2048 - 1024)
    assert logits.shape == (6, 2)
    assert (logits[:, 0] < -1e5).all()
    assert (logits[:, 1] > 1e5).all()


def test_imagenet_features_are_exactly_torchvisions_on_grey(
    imagenet: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "densenet121-x.pth"
    torch.save(imagenet.state_dict(), path)
    model = build(NAMES, init=str(path), seed=0).eval()
    grey = torch.rand(2, 1, 96, 96)
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    colour, x = (grey.expand(-1, 3, -1, -1) - mean) / std, (2 * grey - 1) * 1024
    with torch.no_grad():
        want, got = imagenet.features[:3](colour), model.features[:3](x)  # conv0, norm0, relu0
    inside = (..., slice(2, -2), slice(2, -2))  # beyond reach of the padding
    assert want[inside].std() > 0.1
    torch.testing.assert_close(got[inside], want[inside], rtol=1e-4, atol=1e-4)
    later = [name for name, _ in model.features.named_children()][3:]
    for name in later:
        assert same(imagenet.features.get_submodule(name), model.features.get_submodule(name))


def test_adapted_first_weights_keep_the_size_that_steps_of_adam_suit(imagenet: nn.Module) -> None:
    adapted = from_imagenet(imagenet.state_dict())["features.conv0.weight"]
    before = imagenet.features.conv0.weight
    assert adapted.shape == (64, 1, 7, 7)
    assert 0.1 < adapted.std() / before.std() < 10


def test_old_key_names_and_missing_counters_load(imagenet: nn.Module, tmp_path: Path) -> None:
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12])\.", r"\1.\2.", name): tensor
        for name, tensor in imagenet.state_dict().items()
        if "num_batches" not in name
    }
    assert any(".norm.1." in name for name in old)
    torch.save(old, tmp_path / "old.pth")
    torch.save(imagenet.state_dict(), tmp_path / "new.pth")
    a, b = (build(NAMES, init=str(tmp_path / name), seed=0) for name in ("old.pth", "new.pth"))
    assert same(a, b)


def test_own_weights_come_back_with_the_classifier_only_for_the_same_pathologies(
    tmp_path: Path,
) -> None:
    model = build(NAMES, init="random", seed=1)
    path = tmp_path / "best.safetensors"
    image = ImageSpec(height=32, width=32, codec="jpg", quality=95)
    header = WeightsHeader(pathologies=NAMES, image=image, manifest="0" * 64, epoch=1)
    path.write_bytes(weights_bytes(model, header))
    assert same(model, build(NAMES, init=str(path), seed=2))
    other = build(NAMES[::-1], init=str(path), seed=2)
    assert same(model, other, "features.")
    assert not same(model, other, "classifier.weight")
    assert build(("Edema", "Mass", "Nodule"), init=str(path), seed=0).classifier.out_features == 3


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('executed')",))


def broken(kind: str, imagenet: nn.Module, folder: Path) -> Path:
    path = folder / "weights.pth"
    state = imagenet.state_dict()
    if kind == "cut":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:100_000])
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("hello")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    elif kind == "nested":
        torch.save({"state_dict": state}, path)
    elif kind == "numbers":
        torch.save({"features.conv0.weight": 3}, path)
    elif kind == "resnet":
        torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    elif kind == "part":
        torch.save({name: t for name, t in state.items() if "denseblock4" not in name}, path)
    elif kind == "safetensors":
        path = folder / "weights.safetensors"
        path.write_bytes(b"\xff" * 64)
    elif kind == "foreign":
        from safetensors.torch import save

        path = folder / "weights.safetensors"
        path.write_bytes(save({"a": torch.zeros(1)}))
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "cut",
        "empty",
        "text",
        "pickle",
        "nested",
        "numbers",
        "resnet",
        "part",
        "safetensors",
        "foreign",
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(
    kind: str, imagenet: nn.Module, tmp_path: Path
) -> None:
    path = broken(kind, imagenet, tmp_path)
    with pytest.raises(CheckError) as caught:
        build(NAMES, init=str(path), seed=0)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_checkpoint_with_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Evil()}, tmp_path / "last.pt")
    with pytest.raises(CheckError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "last.pt")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"--init nowhere\.pth"):
        build(NAMES, init="nowhere.pth", seed=0)


def test_imagenet_without_network_names_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **options: object) -> None:
        assert options["weights_only"] is True
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(UsageError, match=r"densenet121-.*\.pth.*--init PATH.*--init random"):
        build(NAMES, init="imagenet", seed=0)
