"""What the user may say about a dataset, and how it is said."""

import subprocess
from collections.abc import Callable
from dataclasses import fields

from builder.labels.source import Source, TableOptions


def test_every_option_of_a_table_is_one_of_the_command(
    xbuild: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    shown = xbuild("plan", "--help").stdout
    for field in fields(TableOptions):
        name = field.name.removesuffix("s") if field.name.endswith("columns") else field.name
        assert f"--{name.replace('_', '-')} " in shown, field.name


def test_nothing_is_said_by_default() -> None:
    source = Source()
    assert (source.labels, source.root, source.official) == (None, None, False)
    assert source.options == TableOptions(match="path", readers="majority", label_columns=())
