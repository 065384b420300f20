"""Command audit: what judges find in the synthetic images of a sealed dataset."""

from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from builder.cli.environment import Command, option
from builder.cli.near import bring_all, check_there, dataset_near, results_in
from builder.cli.options import FILE, FOLDER, OrUrl, Range, seed, shards_root, with_options
from builder.cli.terminal import echo

_MOST = 100_000  # of what is counted: more would only fill the memory


def _settings(command: Command) -> Command:
    """An option for each thing that an audit goes by."""
    return with_options(
        command,
        option("--seed", type=seed, default="0", show_default=True, help="Seed of all samples."),
        option(
            "--sample",
            type=click.IntRange(100, _MOST),
            default=5000,
            show_default=True,
            help="Images of each side whose features are computed; copies are looked for in all.",
        ),
        option(
            "--resamples",
            type=click.IntRange(100, _MOST),
            default=1000,
            show_default=True,
            help="Resamples behind each interval.",
        ),
        option(
            "--told",
            type=Range(0.5, 1),
            default=0.6,
            show_default=True,
            help="AUC of real against synthetic from which a shortcut is named.",
        ),
        option(
            "--agree",
            type=Range(0, 0.5),
            default=0.05,
            show_default=True,
            help="AUC that a target may lose against held-out real images.",
        ),
        option(
            "--accused",
            type=Range(0, 1, min_open=True, max_open=True),
            default=0.001,
            show_default=True,
            help="Share of honest images that may be suspected as copies.",
        ),
        option(
            "--fewer-than",
            type=click.IntRange(1, _MOST),
            default=5,
            show_default=True,
            help="Patients below which a combination of labels is rare.",
        ),
    )


@click.command()
@click.argument("manifest", type=OrUrl(FILE))
@option(
    "--classifier",
    type=FILE,
    help="best.safetensors of an xtrain run on real images: its features, and what it finds.  "
    "[default: features of pixels]",
)
@option(
    "--real",
    type=OrUrl(FILE),
    metavar="MANIFEST",
    help="Dataset with the real images, of the same size.  [default: MANIFEST itself]",
)
@option(
    "--sources",
    type=FILE,
    help="CSV file with columns key and source: whether sources of real images can be told apart.",
)
@option(
    "--out",
    type=FOLDER,
    help="Folder of NAME.audit.json and NAME.audit.html.  [default: audits/ next to manifests/]",
)
@_settings
@shards_root
def audit(
    manifest: Path | str,
    classifier: Path | None,
    real: Path | str | None,
    sources: Path | None,
    out: Path | None,
    shards_root: Path | None,
    **chosen: Any,
) -> None:
    """Let judges look at the synthetic images.

    Eight points, each beside its floor between real images: quality, labels, shortcuts, copies.
    Reads sealed shards alone and writes a record and a page, which shows real images of suspected
    copies: keep it where these may be seen.
    """
    from builder.audit.audit import Asked, audit_dataset
    from builder.audit.settings import Settings
    from builder.audit.summary import findings
    from builder.contract import load_manifest, write_last
    from builder.contract.audit import audit_path, page_path, write_audit
    from builder.labels.source_table import read_source_table
    from builder.progress import progress

    named = None if sources is None else read_source_table(sources)
    with ExitStack() as stack:
        here = stack.enter_context(dataset_near(manifest, shards_root))
        there = None if real is None else stack.enter_context(dataset_near(real))
        asked_for = load_manifest(here.path)
        check_there(here, asked_for, shards_root)
        if there is not None:
            check_there(there, load_manifest(there.path), None)
        record = audit_path(here.path, asked_for.name, results_in(manifest, "audits", out))
        asked = Asked(
            manifest=here.path,
            real=None if there is None else there.path,
            classifier=classifier,
            sources=named,
            shards_root=shards_root,
        )
        settings = Settings(**{field.name: chosen[field.name] for field in fields(Settings)})

        def bring() -> None:
            for each in filter(None, (here, there)):
                bring_all(each, load_manifest(each.path))

        found, page = audit_dataset(asked, settings, record.parent, progress, bring)
    write_last(page_path(record), page.encode())
    write_audit(found, record)
    for finding in findings(found):
        echo(f"{finding.topic}, {finding.status}: {finding.sentence}")
    for note in found.notes:
        echo(f"Note: {note}", err=True)
    echo(f"\nWrote {record} and {page_path(record)}.")
