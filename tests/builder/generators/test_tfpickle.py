"""Pickles as published, made from random weights: what is written, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from builder.contract import CheckError, UsageError
from builder.generators.tfpickle import convert

Draw = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
Variables = list[tuple[str, object]]

LABELS = ("Lung Lesion", "Pleural Other", "Fracture")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_gives_the_same_file(
    random_network: Draw, published: Write, tmp_path: Path, protocol: int
) -> None:
    state = random_network()
    made = convert(published(state, protocol), tmp_path / "g.safetensors", LABELS)
    expected = convert(published(state), tmp_path / "four.safetensors", LABELS)
    assert made.sha256 == expected.sha256
    with safe_open(tmp_path / "g.safetensors", "np") as file:
        variables = dict(state["variables"])
        del variables["lod"]
        assert set(file.keys()) == set(variables)
        for name, value in variables.items():
            np.testing.assert_array_equal(file.get_tensor(name), value)
            assert file.get_tensor(name).dtype == np.float32
    assert made.parameters == sum(value.size for value in variables.values())


def test_absent_arguments_take_the_papers_values_and_unknown_ones_are_told(
    random_network: Draw, published: Write, tmp_path: Path
) -> None:
    state = random_network(fmap_base=512, fmap_max=8, latent_size=8)
    del state["static_kwargs"]["latent_size"]
    state["static_kwargs"] |= {"structure": "linear", "mystery": 1, "fmap_max": np.int64(8)}
    made = convert(published(state), tmp_path / "g.safetensors", LABELS)
    assert made.ignored == ("mystery",)
    assert made.design.latent_size == 8
    assert (made.design.pixelnorm_epsilon, made.design.use_leakyrelu) == (1e-8, True)


def without(variables: Variables, name: str, *added: tuple[str, object]) -> Variables:
    return [v for v in variables if v[0] != name] + list(added)


STATES: list[tuple[dict[str, object], str]] = [
    ({"version": 1}, "'G_paper' of version 1"),
    ({"build_func_name": "D_paper"}, "'D_paper'"),
    ({"static_kwargs": None}, "static_kwargs"),
    ({"variables": None}, "not a list of names and arrays"),
]
SHARED = np.zeros(9, "f4")
VARIABLES: list[tuple[str, tuple[tuple[str, object], ...], str]] = [
    ("8x8/Conv1/bias", (), "'8x8/Conv1/bias' is missing"),
    ("", (("extra", np.zeros(1, "f4")),), "'extra' does not belong"),
    ("", (("one", SHARED), ("two", SHARED)), "'two' is the same array as another one"),
    ("", (("lod", np.float32(1)),), "'lod' is not an array or appears twice"),
    ("lod", (("lod", np.zeros(2, "f4")),), "'lod' has shape [2]"),
    ("lod", (("lod", np.float32(-1)),), "of at least 0.0 at lod"),
    ("lod", (("lod", np.float32("nan")),), "other than finite"),
    ("lod", (("lod", np.float64(1e300)),), "other than finite"),
    ("lod", (("lod", "0"),), "'lod' is not an array"),
    ("4x4/Conv/bias", (("4x4/Conv/bias", np.zeros(5, "f4")),), "has shape [5], expected [12]"),
]
ARGUMENTS: list[tuple[dict[str, object], str]] = [
    ({"fmap_max": 12.5}, "expected a whole number, got a number at fmap_max"),
    ({"use_wscale": "yes"}, "expected true or false, got text at use_wscale"),
    ({"fmap_decay": np.zeros(2, "f4")}, "The argument 'fmap_decay' is an array"),
]


def refusal(path: Path, out: Path) -> str:
    with pytest.raises(CheckError) as caught:
        convert(path, out, LABELS)
    assert str(path) in str(caught.value)
    assert not out.exists()
    return str(caught.value)


@pytest.mark.parametrize(("changes", "said"), STATES)
def test_a_network_of_another_kind_is_refused(
    random_network: Draw, published: Write, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    path = published({**random_network(), **changes})
    assert said in refusal(path, tmp_path / "g.safetensors")


@pytest.mark.parametrize(("left_out", "added", "said"), VARIABLES)
def test_variables_that_are_not_the_published_ones_are_refused(
    random_network: Draw,
    published: Write,
    tmp_path: Path,
    left_out: str,
    added: tuple[tuple[str, object], ...],
    said: str,
) -> None:
    state = random_network()
    state["variables"] = without(state["variables"], left_out, *added)
    assert said in refusal(published(state), tmp_path / "g.safetensors")


@pytest.mark.parametrize(("arguments", "said"), ARGUMENTS)
def test_arguments_of_another_type_are_refused(
    random_network: Draw, published: Write, tmp_path: Path, arguments: dict[str, object], said: str
) -> None:
    state = random_network()
    state["static_kwargs"] |= arguments
    assert said in refusal(published(state), tmp_path / "g.safetensors")


def test_colour_and_another_number_of_labels_are_refused(
    random_network: Draw, published: Write, tmp_path: Path
) -> None:
    out = tmp_path / "g.safetensors"
    with pytest.raises(CheckError, match="3 channels"):
        convert(published(random_network(num_channels=3)), out, LABELS)
    with pytest.raises(UsageError, match="takes 3 labels, but 2 names") as caught:
        convert(published(random_network()), out, LABELS[:2])
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="differ from each other"):
        convert(published(random_network()), out, ["a", "a", "b"])


def test_a_file_in_the_way_is_kept(random_network: Draw, published: Write, tmp_path: Path) -> None:
    out = tmp_path / "new" / "g.safetensors"
    first = convert(published(random_network()), out, LABELS)
    assert convert(published(random_network()), out, LABELS) == first
    before = out.read_bytes()
    with pytest.raises(UsageError, match="exists and differs"):
        convert(published(random_network(seed=1)), out, LABELS)
    assert out.read_bytes() == before


def test_a_path_without_a_pickle_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "g.safetensors"
    assert "No such file" in refusal(tmp_path / "none.pkl", out)
    assert "regular file" in refusal(tmp_path, out)
