"""A sealed dataset of 60 real images and some synthetic ones, opened once, and its gallery."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from builder.audit.pictures import Sealed, open_sealed
from builder.contract.audit import Audit, Suspect
from builder.gallery.write import Gallery, write_gallery
from builder.progress import Advance

Write = Callable[..., Gallery]


@contextmanager
def quiet(title: str, total: int, unit: str = "images") -> Iterator[Advance]:
    """No bar; it must end full."""
    done: list[int] = []
    yield done.append
    assert sum(done) == total, (title, unit)


@pytest.fixture(scope="session")
def opened(sealed_once: Path) -> Sealed:
    return open_sealed(sealed_once / "manifests" / "gan100.json")


@pytest.fixture(scope="session")
def audited(audit: Audit, opened: Sealed) -> Audit:
    """An audit of that dataset: the first synthetic image may be a copy of the first real one."""
    assert audit.copies is not None
    keys = {
        origin: opened.index.key[opened.index.origin == origin] for origin in ("real", "synthetic")
    }
    fake, true = keys["synthetic"], keys["real"]
    copies = replace(
        audit.copies,
        suspects=3,
        listed=(
            Suspect(key=fake[0], of=true[0], similarity=0.99),
            Suspect(key=fake[1], of="elsewhere", similarity=0.95),
        ),
        duplicates=1,
        duplicates_listed=(Suspect(key=fake[2], of=fake[0], similarity=0.97),),
    )
    return replace(audit, digest=opened.manifest.digest, copies=copies)


@pytest.fixture(scope="session")
def write(opened: Sealed) -> Write:
    """Writes the gallery of that dataset: (folder, audit=, synthetic_only=, side=) → Gallery."""

    def to(
        folder: Path,
        audit: Audit | None = None,
        synthetic_only: bool = False,
        side: int | None = None,
        sealed: Sealed = opened,
    ) -> Gallery:
        return write_gallery(
            sealed, folder, audit=audit, synthetic_only=synthetic_only, side=side, show=quiet
        )

    return to
