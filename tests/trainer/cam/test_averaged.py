import pytest
import torch
from torch import nn

from builder.contract import UsageError
from builder.contract.networks import torchvision_network
from trainer.cam import activation_maps


def settled(name: str, images: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    network = torchvision_network(name, 3, *images.shape[2:])
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.inference_mode():
        network.train()(images.float() * 8 - 1024)
    return network.eval()


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (4, 1, 64, 96), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mnasnet0_5", "regnet_y_400mf"])
def test_the_mean_of_a_map_plus_the_bias_is_the_logit(name: str, images: torch.Tensor) -> None:
    network = settled(name, images)
    with torch.inference_mode():
        wanted = torch.sigmoid(network(images.float().div(255).mul(2048).sub(1024)))[:, [2, 0]]
    maps, probabilities = activation_maps(network, images, [2, 0])
    torch.testing.assert_close(probabilities, wanted, atol=1e-4, rtol=1e-4)
    assert maps.shape[:2] == (4, 2)
    assert maps.shape[2] > 1
    assert maps[0, 0].std() > 0
    assert not network._forward_hooks


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "alexnet"])
def test_a_network_without_such_a_map_is_refused(name: str, images: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="does not see the mean of a map") as caught:
        activation_maps(settled(name, images), images, [0])
    assert "\n" not in str(caught.value)
