"""A sealed dataset as a careful forger would change it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.contract import index_bytes, load_index, load_manifest, sha256_bytes

Raw = dict[str, Any]
Change = Callable[[Raw], object]


@pytest.fixture
def manifest_path(sealed: Path) -> Path:
    """The manifest of a dataset that a test may spoil."""
    return sealed / "manifests" / "gan100.json"


@pytest.fixture
def spoil(manifest_path: Path) -> Callable[[Change], Path]:
    """Changes the manifest's JSON and gives its path."""

    def change_it(change: Change) -> Path:
        raw = json.loads(manifest_path.read_text())
        change(raw)
        manifest_path.write_text(json.dumps(raw))
        return manifest_path

    return change_it


@pytest.fixture
def rehash(sealed: Path, spoil: Callable[[Change], Path]) -> Callable[[], Path]:
    """Makes the manifest agree with the index as it is now, and gives its path."""

    def agree() -> Path:
        def change(raw: Raw) -> None:
            data = (sealed / raw["index"]["url"]).read_bytes()
            raw["index"]["sha256"] = sha256_bytes(data)

        return spoil(change)

    return agree


@pytest.fixture
def reseal(
    sealed: Path, manifest_path: Path, rehash: Callable[[], Path]
) -> Callable[[Change], Path]:
    """Changes the columns of the index, with a manifest that agrees."""

    def change_it(change: Change) -> Path:
        manifest = load_manifest(manifest_path)
        index = load_index(manifest, sealed)
        columns = {name: getattr(index, name).copy() for name in index.__slots__}
        change(columns)
        data = index_bytes(type(index)(**columns), manifest.pathologies)
        (sealed / manifest.index.url).write_bytes(data)
        return rehash()

    return change_it
