"""The options that say which real images are used: of `plan`, `pack` and `synth`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from builder.cli.environment import Command, option
from builder.cli.options import FOLDER, PLACE, number, seed, with_options
from builder.contract import UsageError

if TYPE_CHECKING:
    from builder.labels.source import TableOptions

DATASETS = (  # the names of builder.labels.datasets.READERS, which is heavy to import
    *("chexpert", "nih", "mimic", "padchest", "vindr", "brax", "rsna"),
    *("folder", "table", "demo"),
)
_USED_BY = {  # fields of TableOptions: the option, and the datasets whose readers use it
    "image_column": ("--image-column", ("table",)),
    "patient_column": ("--patient-column", ("table",)),
    "view_column": ("--view-column", ("table",)),
    "split_column": ("--split-column", ("table",)),
    "label_columns": ("--label-column", ("table",)),
    "match": ("--match", ("table",)),
    "patient_pattern": ("--patient-pattern", ("folder", "table")),
    "readers": ("--readers", ("vindr",)),
}


def pattern(value: str) -> str:
    """A regular expression with a group, as its text."""
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise click.BadParameter(f"{value!r} is not a regular expression: {error}.") from None
    if not groups:
        raise click.BadParameter(
            f"{value!r} has no group: put the patient's part in parentheses, as in 'person(\\d+)'."
        )
    return value


def real_options(command: Command) -> Command:
    """The command with the options; it is called with `table`, a TableOptions of those for it."""

    @wraps(command)
    def gathered(**words: Any) -> None:
        from builder.labels.source import TableOptions

        names = [each.name for each in fields(TableOptions)]
        table = TableOptions(**{name: words.pop(name) for name in names})
        dataset, source = words["dataset"], click.get_current_context().get_parameter_source
        _check_uses(dataset, table)
        if dataset == "demo":
            for name in ("depth", "window"):
                if source(name) is ParameterSource.COMMANDLINE:
                    raise _unused(f"--{name}", dataset, [d for d in DATASETS if d != "demo"])
            if source("root") is ParameterSource.ENVIRONMENT:  # meant for other datasets
                words["root"] = None
        command(table=table, **words)

    return _label_options(_table_options(_split_options(gathered)))


def links_to() -> Callable[[Command], Command]:
    """The option that names the folders to which links among the images may lead."""
    return option(
        "--links-to",
        type=FOLDER,
        multiple=True,
        help="Folder outside of --root that links in it may lead to; repeat for more.  [default: "
        "links lead to what --root holds]",
    )


def _check_uses(dataset: str, table: "TableOptions") -> None:
    """Raise UsageError where an option was given that the dataset's reader would not look at."""
    for field in fields(table):
        name, used_by = _USED_BY[field.name]
        if getattr(table, field.name) != field.default and dataset not in used_by:
            raise _unused(name, dataset, used_by)


def _unused(name: str, dataset: str, used_by: Sequence[str]) -> UsageError:
    return UsageError(
        f"--dataset {dataset} does not use {name}, which is for --dataset {', '.join(used_by)}: "
        "remove it."
    )


def _label_options(command: Command) -> Command:
    return with_options(
        command,
        option(
            "--dataset",
            type=click.Choice(DATASETS),
            default="chexpert",
            show_default=True,
            help="Source of labels and images: a published dataset, a folder with a subfolder for "
            "each label, a table of your own, or demo, which has CheXpert's labels and phantom "
            "images.",
        ),
        option(
            "--labels",
            type=PLACE,
            help="Label table, or the folder of a dataset's tables.  [default: the copy in "
            "torchxrayvision, or what lies under --root]",
        ),
        option(
            "--root",
            type=FOLDER,
            envvar="XBUILD_ROOT",
            show_envvar=True,
            help="Folder of the real images; for --dataset table, by default that of the table, "
            "and for chexpert the current folder or the download in it.",
        ),
        links_to(),
        option(
            "--uncertain",
            type=click.Choice(["ones", "zeros", "mask"]),
            default="ones",
            show_default=True,
            help="What an uncertain label (-1) becomes: 1, 0, or masked, so that losses ignore it.",
        ),
        option(
            "--views",
            type=click.Choice(["all", "frontal"]),
            default="all",
            show_default=True,
            help="Views of the table to use.",
        ),
    )


def _table_options(command: Command) -> Command:
    return with_options(
        command,
        option(
            "--image-column",
            metavar="NAME",
            help="Column of --dataset table that names the images.  [default: image]",
        ),
        option(
            "--patient-column",
            metavar="NAME",
            help="Column of --dataset table that names the patients.  [default: patient]",
        ),
        option(
            "--view-column",
            metavar="NAME",
            help="Column of --dataset table that names the views.  [default: view, if it is there]",
        ),
        option(
            "--split-column",
            metavar="NAME",
            help="Column of --dataset table with train, val or test, for --split official.  "
            "[default: split, if it is there]",
        ),
        option(
            "--label-column",
            "label_columns",
            multiple=True,
            metavar="NAME",
            help="Column of --dataset table that is a label; repeat for more.  [default: every "
            "column that is nothing else]",
        ),
        option(
            "--match",
            type=click.Choice(["path", "stem"]),
            default="path",
            show_default=True,
            help="How --dataset table finds an image below --root: by its path, or by its file "
            "name without suffix.",
        ),
        option(
            "--patient-pattern",
            type=pattern,
            metavar="REGEX",
            help="Regular expression whose first group is the patient in a file's path: "
            "'person(\\d+)'.  [default: every image is a patient]",
        ),
        option(
            "--readers",
            type=click.Choice(["majority", "any", "all"]),
            default="majority",
            show_default=True,
            help="How many readers of an image must see a finding, for --dataset vindr.",
        ),
    )


def _split_options(command: Command) -> Command:
    return with_options(
        command,
        option(
            "--split",
            type=click.Choice(["hash", "official"]),
            default="hash",
            show_default=True,
            help="Patients into train, val and test: by a hash, or as the dataset was published.",
        ),
        option(
            "--regime",
            type=number,
            default="100",
            show_default=True,
            metavar="PERCENT",
            help="Percentage of the training patients to use, in (0, 100].",
        ),
        option(
            "--holdout",
            type=number,
            nargs=2,
            default=("0.05", "0.05"),
            show_default=True,
            metavar="VAL TEST",
            help="Fractions of the patients for val and test; with --split official, the first "
            "counts where no val was published.",
        ),
        option(
            "--seed",
            type=seed,
            default="0",
            show_default=True,
            metavar="NUMBER",
            help="Seed of the split, the draws and the latents.",
        ),
    )
