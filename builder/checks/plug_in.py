"""A check of another package: its code is part of its identity, and its faults are one sentence."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import get_args

from builder.checks.check import Check, Context, Judge
from builder.contract import Bytes, CheckError, Sample, Split, UsageError
from builder.plugin import code_sha256, plugin_code

CODE = ":code:sha256:"  # in an identity, before the sha256 of the code


def load_plug_in(entry: EntryPoint, full_name: str, argument: str) -> "PlugIn":
    """The check that `full_name` means; UsageError where its code fails or gives no check."""
    then = f"check --check {full_name}, and the code of its package"
    with plugin_code(entry.module, f"The check {entry.name} cannot be loaded", then, UsageError):
        function = entry.load()
        check = function(argument)
    _check_attributes(entry.name, check)
    code = code_sha256(function.__module__, Path(inspect.getfile(function)))
    return PlugIn(identity=f"{check.identity}{CODE}{code}", check=check, module=entry.module)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugIn:
    """A check whose identity has the sha256 of its code, so that corrected code is another one."""

    identity: str
    check: Check
    module: str

    @property
    def needs(self) -> tuple[Split, ...]:
        """The splits whose real images it looks at."""
        return self.check.needs

    @property
    def software(self) -> tuple[str, ...]:
        """The distributions on whose versions its verdict depends."""
        return tuple(getattr(self.check, "software", ()))

    def check_held_out(self, images: int) -> None:
        """Raise UsageError where val has too few images."""
        if (enough := getattr(self.check, "check_held_out", None)) is not None:
            enough(images)

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:
        """Its judge; CheckError where its code fails."""
        name = self.check.identity
        with plugin_code(
            self.module, f"The check {name} cannot be made ready", "mend its package, and try again"
        ):
            return _Judge(self.check.prepared(context, targets), name, self.module)


@dataclass(frozen=True, slots=True)
class _Judge:
    """A judge whose answers are looked at."""

    judge: Judge
    name: str
    module: str

    def __call__(self, images: Bytes, samples: Sequence[Sample]) -> Sequence[str]:
        then = "complete shards are kept: mend its package, and run the same command again"
        with plugin_code(self.module, f"The check {self.name} cannot judge images", then):
            reasons = self.judge(images, samples)
            given = [*reasons]
        kinds = {type(reason).__name__ for reason in given if not isinstance(reason, str)}
        if len(given) != len(images) or kinds:
            raise CheckError(
                f"The check {self.name} should give a text for each of {len(images)} images, empty "
                "where it has nothing against one, and gave "
                f"{', '.join(sorted(kinds)) or len(given)}: mend its package."
            )
        return given


def _check_attributes(name: str, check: object) -> None:
    """UsageError where an object of another package is no Check."""
    identity, needs = (getattr(check, field, None) for field in ("identity", "needs"))
    known = isinstance(needs, tuple) and {*needs} <= {*get_args(Split)}
    if not (isinstance(identity, str) and known and callable(getattr(check, "prepared", None))):
        raise UsageError(
            f"The check {name} is no check: its function gives an object of the type "
            f"{type(check).__name__}, and should give one with identity (text), needs (names of "
            "splits in a tuple) and prepared (a method), as docs/plugin shows."
        )
