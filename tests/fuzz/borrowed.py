"""What the tests of the rooms make, for inputs that are valid: their conftest modules."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


@cache
def conftest(room: str) -> Any:
    """The module tests/ROOM/conftest.py."""
    name = f"conftest of {room}"
    spec = importlib.util.spec_from_file_location(name, TESTS / room / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look it up
    spec.loader.exec_module(module)
    return module
