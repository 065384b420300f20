import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from builder.contract import CheckError, ImageSpec, UsageError
from builder.contract.weights import (
    METADATA,
    WeightsHeader,
    load_network,
    make_network,
    read_header,
    scale,
    weights_bytes,
)

HEADER = WeightsHeader(
    pathologies=("Edema", "Mass"),
    image=ImageSpec(height=32, width=32, codec="jpg", quality=95),
    manifest="0" * 64,
    epoch=3,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    path.write_bytes(weights_bytes(make_network(2), HEADER, {"lr": 0.1, "epoch": 99}))
    return path


@pytest.fixture
def rewritten(saved: Path, tmp_path: Path) -> Callable[[object], Path]:
    """The same tensors under another header."""

    def write(facts: object) -> Path:
        path = tmp_path / "other.safetensors"
        text = facts if isinstance(facts, str) else json.dumps(facts)
        path.write_bytes(save(load_file(saved), metadata={METADATA: text}))
        return path

    return write


def test_header_and_network_come_back(saved: Path) -> None:
    assert read_header(saved) == HEADER
    network, header = load_network(saved)
    assert header == HEADER
    assert not network.training
    tensors = load_file(saved)
    assert all(torch.equal(tensors[name], t) for name, t in network.state_dict().items())
    assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 2)


def test_grey_levels_fill_the_range_of_torchxrayvision() -> None:
    grey = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(scale(grey), (grey.float() / 255 * 2 - 1) * 1024)
    assert (scale(grey).min(), scale(grey).max()) == (-1024, 1024)


IMAGE = asdict(HEADER.image)
WRONG: dict[str, Any] = {
    "no header": {},
    "a list": [],
    "no JSON": "{",
    "no names": {"pathologies": []},
    "names are numbers": {"pathologies": [1, 2]},
    "a name that acts": {"pathologies": ["Edema", "\x1b[31m"]},
    "a name twice": {"pathologies": ["Edema", "Edema"]},
    "more names than outputs": {"pathologies": ["Edema", "Mass", "Nodule"]},
    "no image": {"image": None},
    "a small image": {"image": IMAGE | {"height": 28}},
    "a huge image": {"image": IMAGE | {"width": 5000}},
    "a fraction": {"image": IMAGE | {"width": 32.5}},
    "an epoch before the first": {"epoch": "last"},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_header_that_says_something_else_is_refused(
    rewritten: Callable[[object], Path], case: str
) -> None:
    change = WRONG[case]
    facts = asdict(HEADER) | change if isinstance(change, dict) and change else change
    path = rewritten(facts)
    with pytest.raises(CheckError, match=r"other\.safetensors") as caught:
        read_header(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_another_file_is_refused(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.safetensors is missing"):
        read_header(tmp_path / "absent.safetensors")
    cut = tmp_path / "cut.safetensors"
    for data in (b"", b"\xff" * 64, saved.read_bytes()[:5000], save({"a": torch.zeros(1)})):
        cut.write_bytes(data)
        with pytest.raises(CheckError, match=r"cut\.safetensors is cut, damaged or not a file"):
            read_header(cut)


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    text = json.dumps(asdict(HEADER))
    path.write_bytes(save({"classifier.bias": torch.zeros(2)}, metadata={METADATA: text}))
    with pytest.raises(CheckError, match="the weights of another network"):
        load_network(path)


def test_an_image_of_the_smallest_side_passes(rewritten: Callable[[object], Path]) -> None:
    small = replace(HEADER, image=replace(HEADER.image, height=29, width=29))
    network, _ = load_network(rewritten(asdict(small)))
    assert network(torch.zeros(1, 1, 29, 29)).shape == (1, 2)
