import subprocess
import sys

import pytest

from trainer.fit.fabric import hidden


def test_a_run_begins_without_libraries_that_it_does_not_use() -> None:
    code = "import sys, trainer.train; print({'torchmetrics', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_was_hidden_can_be_imported_afterwards() -> None:
    sys.modules.pop("this", None)
    with hidden("this"), pytest.raises(ImportError):
        __import__("this")
    assert "this" not in sys.modules


def test_what_was_imported_before_stays() -> None:
    before = sys.modules["sys"]
    with hidden("sys"):
        assert sys.modules["sys"] is before
    assert sys.modules["sys"] is before
