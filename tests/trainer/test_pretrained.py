"""A grey network computes what torchvision's computes of the same grey in three colours."""

import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from builder.contract import CheckError, ImageSpec, UsageError
from builder.contract.networks import torchvision_network
from builder.contract.weights import WeightsHeader, load_network, weights_bytes
from trainer.model import build
from trainer.pretrained import adapted

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = ("Edema", "Fracture")


def uneven(model: nn.Module) -> nn.Module:
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.3, 2)
    return model.eval()


@pytest.fixture(scope="module")
def imagenet() -> nn.Module:
    torch.manual_seed(7)
    return uneven(torchvision.models.resnet18(weights=None))


def colours(grey: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return (grey.expand(-1, 3, -1, -1) - mean) / std


def test_the_first_layer_is_exact_inside_and_the_others_are_copied(
    imagenet: nn.Module, tmp_path: Path
) -> None:
    torch.save(imagenet.state_dict(), tmp_path / "resnet18-x.pth")
    model = build(NAMES, init=str(tmp_path / "resnet18-x.pth"), seed=0, network="resnet18").eval()
    grey = torch.rand(2, 1, 64, 64)
    want = imagenet.conv1(colours(grey))[..., 2:-2, 2:-2]
    got = model.conv1((2 * grey - 1) * 1024)[..., 2:-2, 2:-2]
    assert want.std() > 0.1
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    own, theirs = model.state_dict(), imagenet.state_dict()
    same = [name for name in theirs if not name.startswith(("conv1.", "fc."))]
    assert all(torch.equal(own[name], theirs[name]) for name in same)
    assert model.fc.out_features == 2


def test_position_embeddings_are_interpolated_and_helpers_left_out() -> None:
    options = {"patch_size": 16, "num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8}
    small = torchvision.models.VisionTransformer(image_size=64, **options)
    large = torchvision.models.VisionTransformer(image_size=224, **options)
    state = adapted(large.state_dict(), "vit_b_16", small)
    assert state["encoder.pos_embedding"].shape == (1, 17, 8)
    assert state["conv_proj.weight"].shape[1] == 1
    assert not [name for name in state if name.startswith("heads.head.")]
    google = torchvision_network("googlenet", 2, 64, 64)
    theirs = {"aux1.fc1.weight": torch.zeros(1), "conv1.conv.weight": torch.ones(64, 3, 7, 7)}
    state = adapted(theirs, "googlenet", google)  # its input was in [-1, 1]: no colour differs
    assert [*state] == ["conv1.conv.weight", "conv1.conv.bias"]
    torch.testing.assert_close(
        state["conv1.conv.weight"], torch.full((64, 1, 7, 7), 3 * 0.226 / 0.5)
    )


def test_the_weights_of_another_network_are_refused(imagenet: nn.Module, tmp_path: Path) -> None:
    torch.save(imagenet.state_dict(), tmp_path / "a.pth")
    image = ImageSpec(height=64, width=64, codec="jpg", quality=95)
    header = WeightsHeader(
        pathologies=NAMES, image=image, manifest="0" * 64, epoch=1, network="squeezenet1_1"
    )
    squeezed = torchvision_network("squeezenet1_1", 2, 64, 64)
    (tmp_path / "b.safetensors").write_bytes(weights_bytes(squeezed, header))
    for name, network in (("a.pth", "squeezenet1_1"), ("b.safetensors", "resnet18")):
        with pytest.raises(CheckError, match=f"{name} does not hold the weights of a {network}"):
            build(NAMES, init=str(tmp_path / name), seed=0, network=network, size=(64, 64))
    with pytest.raises(CheckError, match="the weights of a DenseNet-121"):
        build(NAMES, init=str(tmp_path / "b.safetensors"), seed=0)
    again = build(NAMES, init=str(tmp_path / "b.safetensors"), seed=1, network="squeezenet1_1")
    other = build(
        NAMES[::-1], init=str(tmp_path / "b.safetensors"), seed=1, network="squeezenet1_1"
    )
    loaded, found = load_network(tmp_path / "b.safetensors")
    assert found == header
    for name, tensor in squeezed.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
        assert torch.equal(again.state_dict()[name], tensor)
        head = name == "classifier.1.weight"
        assert torch.equal(other.state_dict()[name], tensor) is not head


def test_without_a_connection_the_sentence_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(UsageError, match=r"resnet18-.*\.pth.*--init PATH.*--init random"):
        build(NAMES, init="imagenet", seed=0, network="resnet18")
