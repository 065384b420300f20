import pytest
import torch
import torchvision
from torch import nn

from builder.contract import UsageError
from builder.contract.networks import (
    MEAN,
    STD,
    check_name,
    check_size,
    first_layer,
    halves,
    last_layer,
    network_names,
    torchvision_network,
)
from builder.contract.weights import make_network

SMALL = ("resnet18", "squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "mnasnet0_5")


def grey(count: int, side: int) -> torch.Tensor:
    return (
        torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(0)) * 2048 - 1024
    )


def settled(name: str, outputs: int, side: int) -> nn.Module:
    """A network whose batch statistics are those of noise, so that its logits differ."""
    torch.manual_seed(0)
    network = torchvision_network(name, outputs, side, side)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean of all
    with torch.inference_mode():
        network.train()(grey(8, side))
    return network.eval()


def test_a_name_that_is_unknown_brings_up_those_spelled_alike() -> None:
    assert {"densenet121", "vit_b_16", *SMALL} <= {*network_names()}
    for name in ("densenet121", "resnet18"):
        check_name(name)
    with pytest.raises(UsageError, match=r"--network resnet19 is unknown: .* such as resnet18"):
        check_name("resnet19")
    for name in ("fcn_resnet50", "x", "resnet18\x1b"):
        with pytest.raises(UsageError, match="is unknown") as caught:
            check_name(name)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", SMALL)
def test_a_network_takes_grey_and_its_halves_make_the_same_logits(name: str) -> None:
    network, images = settled(name, 3, 64), grey(4, 64)
    assert first_layer(network)[1].in_channels == 1
    with torch.inference_mode():
        whole = network(images)
        pool, last = halves(network)
        pooled = pool(images)
        torch.testing.assert_close(last(pooled), whole)
    assert pooled.shape[0] == 4
    assert pooled.dim() == 2
    assert whole.shape == (4, 3)
    assert whole.std() > 1e-4  # or the test shows nothing


def test_a_squeezenet_can_speak_against_a_pathology() -> None:
    network = settled("squeezenet1_1", 64, 64)
    assert (network(grey(2, 64)) < 0).any()


def test_the_first_layer_sees_what_it_would_of_three_equal_colours() -> None:
    torch.manual_seed(3)
    colour = torchvision.models.resnet18(num_classes=2).conv1
    torch.manual_seed(3)
    own = first_layer(torchvision_network("resnet18", 2, 64, 64))[1]
    x = grey(1, 64)
    standard = ((x / 1024 + 1) / 2 - MEAN) / STD
    torch.testing.assert_close(own(x), colour(standard.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)


def test_the_densenet_is_halved_without_being_changed() -> None:
    network, images = make_network(2).eval(), grey(2, 32)
    pool, last = halves(network)
    with torch.inference_mode():
        assert torch.equal(last(pool(images)), network(images))
    assert last_layer(network)[0] == "classifier"


def test_images_that_a_network_cannot_take_are_refused_with_a_size_that_it_can() -> None:
    check_size("densenet121", 29, 40)
    check_size("resnet18", 32, 48)
    check_size("vit_b_16", 64, 64)
    for name, height, width, hint in (
        ("densenet121", 28, 224, "at least 29"),
        ("alexnet", 60, 60, "63×63"),
        ("vit_b_32", 40, 40, "64×64"),
        ("vit_b_32", 64, 96, "128×128"),
    ):
        with pytest.raises(UsageError, match=hint) as caught:
            check_size(name, height, width)
        assert f"{height}×{width}" in str(caught.value)
