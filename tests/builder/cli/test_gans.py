"""Commands that make a generator."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.cli.gans import fit_gan

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def test_a_hostile_pickle_is_refused_by_name(xbuild: Xbuild, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    command = f"touch {mark}".encode()
    pickle = tmp_path / "network-final.pkl"
    pickle.write_bytes(b"cos\nsystem\n(S'" + command + b"'\ntR.")
    done = xbuild("import-gan", pickle, tmp_path / "out.safetensors")
    assert done.returncode == 1
    assert "os.system" in done.stderr
    assert "Traceback" not in done.stderr
    assert not mark.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_fit_gan_refuses_bad_words(sealed: Path, tmp_path: Path, xbuild: Xbuild) -> None:
    path = sealed / "manifests" / "gan100.json"
    done = xbuild("fit-gan", path, "--out", tmp_path / "gan.pt")
    assert done.returncode == 2
    assert "must end in .safetensors" in done.stderr
    done = xbuild("fit-gan", path, "--seed", "-1")
    assert done.returncode == 2
    assert "'-1' is not a whole number from 0 to" in done.stderr


NUMBERS = ["--kimg", "--grow-kimg", "--lr", "--lr-decay", "--gamma", "--snapshot-kimg"]


@pytest.mark.parametrize("option", NUMBERS)
def test_a_number_that_is_not_finite_is_refused_before_anything_is_read(option: str) -> None:
    for text, said in (
        ("nan", "nan is not a number"),
        ("inf", "inf is not a finite|inf is not in"),
    ):
        done = CliRunner().invoke(fit_gan, ["x.json", option, text])
        assert done.exit_code == 2
        assert f"'{option}'" in done.output
        assert any(words in done.output for words in said.split("|")), done.output


@pytest.mark.parametrize("option", ["--kimg", "--grow-kimg", "--snapshot-kimg"])
def test_a_number_of_images_that_cannot_be_counted_is_refused(option: str) -> None:
    done = CliRunner().invoke(fit_gan, ["x.json", option, "1e308"])
    assert done.exit_code == 2
    assert f"'{option}': 1e+308 is not in the range 0<x<=100000" in done.output


def test_an_odd_batch_is_refused(sealed: Path, tmp_path: Path, xbuild: Xbuild) -> None:
    out = tmp_path / "gan.safetensors"
    path = sealed / "manifests" / "gan100.json"
    done = xbuild("fit-gan", path, "--out", out, "--batch", "33")
    assert done.returncode == 2
    assert "--batch takes an even number of images" in done.stderr
    assert not list(tmp_path.glob("gan*"))
