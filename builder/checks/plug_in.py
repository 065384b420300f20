"""A check of another package: its code is part of its identity, and its faults are one sentence."""

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast, get_args

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
        identity, needs, prepared = (
            getattr(check, name, None) for name in ("identity", "needs", "prepared")
        )
        software = getattr(check, "software", ())
        code = code_sha256(function.__module__, Path(inspect.getfile(function)))
    known = isinstance(needs, tuple) and all(split in get_args(Split) for split in needs)
    if not (isinstance(identity, str) and known and callable(prepared)):
        raise UsageError(
            f"The check {entry.name} is no check: its function gives an object of the type "
            f"{type(check).__name__}, and should give one with identity (text), needs (names of "
            "splits in a tuple) and prepared (a method), as docs/plugin shows."
        )
    if not (isinstance(software, tuple) and all(isinstance(name, str) for name in software)):
        raise UsageError(
            f"The check {entry.name} should name distributions in a tuple as its software, and "
            f"gives a {type(software).__name__}: mend its package."
        )
    return PlugIn(
        identity=f"{identity}{CODE}{code}",
        needs=cast("tuple[Split, ...]", needs),
        software=software,
        check=check,
        name=identity,
        module=entry.module,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugIn:
    """A check whose identity has the sha256 of its code, so that corrected code is another one."""

    identity: str
    needs: tuple[Split, ...]
    software: tuple[str, ...]
    check: Check
    name: str  # the identity without its code, for messages
    module: str

    def check_held_out(self, images: int) -> None:
        """Raise UsageError where val has too few images; CheckError where its code fails."""
        with self._code():
            if (enough := getattr(self.check, "check_held_out", None)) is not None:
                enough(images)

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:
        """Its judge; CheckError where its code fails."""
        with self._code():
            return _Judge(self.check.prepared(context, targets), self.name, self.module)

    def _code(self) -> AbstractContextManager[None]:
        what = f"The check {self.name} cannot be made ready"
        return plugin_code(self.module, what, "mend its package, and try again")


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
