"""The versions on which bytes depend, those of generators and checks included."""

from dataclasses import dataclass
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, cast

import pytest

from builder.checks import Check
from builder.contract import UsageError
from builder.generators import Loaded
from builder.render import Generator
from builder.software import software


@dataclass
class Lab:
    software: tuple[str, ...]
    identity: str = "lab"


def loaded(**attributes: Any) -> Loaded:
    return Loaded(
        name="lab", sha256="0" * 64, generator=cast("Generator", SimpleNamespace(**attributes))
    )


def test_a_generator_and_checks_add_their_own() -> None:
    alone = software()
    assert alone["deflate"] == version("deflate")
    assert software(loaded()) == alone
    checks = [cast("Check", Lab(("torchvision",))), cast("Check", SimpleNamespace(identity="x"))]
    more = software(loaded(software=("scipy",)), checks)
    assert more == {**alone, "scipy": version("scipy"), "torchvision": version("torchvision")}


def test_software_that_is_not_installed_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="The generator lab names no-such-lab as software"):
        software(loaded(software=("no-such-lab",)))
    with pytest.raises(UsageError, match=r"check lab names no-such-lab .* pip install no-such-lab"):
        software(loaded(), [cast("Check", Lab(("no-such-lab",)))])
