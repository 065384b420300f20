"""xbuild view and preview as a user meets them."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from builder.contract import load_manifest
from builder.contract.audit import Audit, audit_path, write_audit

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def path(sealed: Path) -> Path:
    return sealed / "manifests" / "gan100.json"


def test_a_gallery_lies_beside_the_manifests_and_says_what_is_in_it(
    xbuild: Xbuild, path: Path, audit: Audit
) -> None:
    fitting = replace(audit, digest=load_manifest(path).digest, summary=("All is well.",))
    write_audit(fitting, audit_path(path, "gan100"))
    done = xbuild("view", path)
    assert done.returncode == 0, done.stderr
    page = path.parents[1] / "galleries" / "gan100" / "index.html"
    assert page.is_file()
    assert f"images at 32 pixels, 1 MiB: open {page} in a browser." in done.stdout
    assert "do not pass it on" in done.stderr
    assert "All is well." in (page.parent / "data.js").read_text()


def test_an_audit_of_another_dataset_is_not_shown(
    xbuild: Xbuild, path: Path, audit: Audit, tmp_path: Path
) -> None:
    write_audit(replace(audit, summary=("Of another.",)), audit_path(path, "gan100"))
    done = xbuild("view", path, "--out", tmp_path / "gallery", "--synthetic-only")
    assert done.returncode == 0, done.stderr
    assert "is of another gan100, and is left out" in done.stderr
    assert "do not pass it on" not in done.stderr
    assert "Of another." not in (tmp_path / "gallery" / "data.js").read_text()
    named = xbuild("view", path, "--out", tmp_path / "x", "--audit", audit_path(path, "gan100"))
    assert named.returncode == 1
    assert "is an audit of gan100 with digest aaaaaaaaaaaa…, and not of" in named.stderr
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_no_gallery_is_refused_before_anything_is_read(
    xbuild: Xbuild, path: Path
) -> None:
    done = xbuild("view", path, "--out", path.parent)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is no gallery: name a new folder by --out" in done.stderr


def test_figure_2_of_any_pathology(xbuild: Xbuild, path: Path, tmp_path: Path) -> None:
    out = tmp_path / "figure.png"
    done = xbuild("preview", path, "--pathology", "Edema", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Drew {out}.\n"
    assert "images of patients" in done.stderr
    with Image.open(out) as picture:
        assert picture.size[0] > 500
    odd = xbuild("preview", path, "--pathology", "Gout\a", "--out", out)
    assert odd.returncode == 2
    assert "has no pathology 'Gout\\x07'; it has Mass, Edema" in odd.stderr
    odd = xbuild("preview", path, "--out", tmp_path / "figure.pdf")
    assert (odd.returncode, "end with .png" in odd.stderr) == (2, True)


def test_a_release_of_the_synthetic_half_is_to_be_completed_first(
    xbuild: Xbuild, path: Path
) -> None:
    path.with_suffix(".parquet").unlink()
    done = xbuild("view", path)
    assert done.returncode == 1
    assert (
        f"no index beside it, so its real images are not here either: first xbuild rebuild {path}"
        in done.stderr
    )
