import shutil
from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.labels import read_labels


def test_the_demo_is_chexperts_table(tmp_path: Path, clinic: Path) -> None:
    demo, real = read_labels("demo"), read_labels("chexpert")
    assert (demo.labels == real.labels).all()
    assert demo.dataset == "demo"
    assert demo.root is None
    with pytest.raises(UsageError, match="of its own: remove --labels and --root"):
        read_labels("demo", labels=shutil.copy(clinic, tmp_path / "copy.csv"))
    with pytest.raises(UsageError, match="of its own: remove --labels and --root"):
        read_labels("demo", root=tmp_path)
