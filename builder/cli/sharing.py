"""Commands around a dataset that travels: share, pull, info, diff."""

import re
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.environment import option
from builder.cli.near import bring_all, dataset_near
from builder.cli.next_step import next_step
from builder.cli.options import FILE, FOLDER, PLACE, OrUrl, shards_root
from builder.cli.terminal import echo
from builder.contract import CheckError, UsageError, load_manifest, printable

if TYPE_CHECKING:
    from builder.share.release import Release

_SAID = (  # what the publisher says: option, example, help
    ("license", "ID", "Licence, an id of SPDX or the Hub such as cc-by-4.0, or `other`."),
    ("license-name", "TEXT", "Name of the licence, with --license other."),
    ("license-file", "FILE", "Text of the licence; needed with --license other."),
    ("creator", "TEXT", "Person or institution that made the dataset."),
    ("contact", "TEXT", "E-mail address or https page for questions."),
    ("intended-use", "TEXT", "Purpose that the dataset is meant for."),
    ("source-terms", "TEXT", "Terms under which you received the real images."),
    ("date", "YYYY-MM-DD", "Day of publication; no clock is read."),
    ("version", "X.Y.Z", "Version of the release.  [default: 1.0.0]"),
    ("title", "TEXT", "Title of the card.  [default: the dataset's name]"),
    ("url", "URL", "Page of the dataset."),
    ("source", "TEXT", "Hospitals and years of the real images, where the source is your own."),
    ("approved-by", "TEXT", "Person or board that approved the licence."),
    ("forbidden-use", "TEXT", "Purposes that you exclude, besides diagnosis."),
    ("limitations", "TEXT", "Failures and limits that you know of."),
    ("withdrawal", "TEXT", "How you announce that a release is taken back."),
    ("cite", "BIBTEX", "Citation, in BibTeX."),
    ("gated", "TEXT", "Text that readers on the Hub must agree to before the download."),
    ("generator-card", "FILE", "Card of your generator: its training patients, its quality."),
)

Command = Callable[..., None]


def _said_options(command: Command) -> Command:
    """An option for each thing that only the publisher can say."""
    options = [option(f"--{name}", metavar=example, help=text) for name, example, text in _SAID]
    return reduce(lambda wrapped, each: each(wrapped), reversed(options), command)


@click.command()
@click.argument("manifest", type=OrUrl(FILE))
@option(
    "--to",
    "place",
    required=True,
    metavar="FOLDER|URL",
    help="Folder of the release, hf://datasets/OWNER/NAME, or s3://BUCKET/FOLDER.",
)
@_said_options
@option(
    "--audit",
    type=FILE,
    help="Audit of the dataset, whose figures join the release.  "
    "[default: the one in audits/, if there is one]",
)
@option("--config", type=FILE, help="A release.toml that says the same; an option wins over it.")
@option(
    "--labels",
    type=FILE,
    multiple=True,
    help="Label table whose patients must not be in the release; repeat for more.",
)
@option(
    "--sign",
    "key",
    type=FILE,
    help="Key that signs SHA256SUMS by ssh-keygen: a private key of OpenSSH, such as ed25519, or "
    "the .pub file of a key in your agent.",
)
@option("--dry-run", is_flag=True, help="List what would leave, with sizes, and stop.")
@shards_root
def share(
    manifest: Path | str,
    place: str,
    audit: Path | None,
    config: Path | None,
    labels: tuple[Path, ...],
    key: Path | None,
    dry_run: bool,
    shards_root: Path | None,
    **said: str | None,
) -> None:
    """Make a release for strangers.

    The synthetic half of MANIFEST, a list of its real half, a card, a licence and checksums. Real
    images never leave. After an interruption, the same command resumes.
    """
    from builder.progress import progress
    from builder.share.publish import check_place, publish
    from builder.share.publisher import read_publisher
    from builder.share.release import compose
    from builder.store import is_url
    from builder.store.url import without_secrets

    check_place(place)
    publisher = read_publisher(said, config)
    with dataset_near(manifest, shards_root) as here:
        bring_all(here, load_manifest(here.path))
        _check_summary(here.path, audit)
        release = compose(
            here.path, publisher, root=shards_root, tables=labels, progress=progress, audit=audit
        )
        for note in release.notes:
            echo(f"Note: {note}", err=True)
        echo(release_text(release))
        if dry_run:
            echo("Nothing was written.")
            return
        gated = bool(publisher.gated)
        written = publish(release, place, key=key, gated=gated, progress=progress)
    shown = without_secrets(place) if is_url(place) else place
    echo(
        f"Shared {release.name} in {shown} (digest {release.digest})."
        if written
        else f"{shown} holds this release already, every byte of it (digest {release.digest})."
    )


def _check_summary(manifest: Path, given: Path | None) -> None:
    """CheckError where the sentences of the dataset's audit are not what its figures say."""
    from builder.audit.summary import summarise
    from builder.share.audited import own_audit

    audit = own_audit(manifest, load_manifest(manifest), given)
    if audit is not None and audit.summary != summarise(audit):
        raise CheckError(
            f"The summary of the audit of {manifest} is not what its figures say, since the file "
            f"was changed or another version wrote it: run xbuild audit {manifest} again."
        )


@click.command()
@click.argument("source", metavar="SRC")
@option(
    "--out",
    type=FOLDER,
    show_default="a new one, of the dataset's name",
    help="Folder of the release.",
)
@option(
    "--digest",
    metavar="SHA256",
    help="Digest of the dataset, as its publisher prints it; another dataset is refused.",
)
@option(
    "--allowed-signers",
    type=FILE,
    help="File of OpenSSH with the keys that you trust; the release must be signed by one of them.",
)
def pull(source: str, out: Path | None, digest: str | None, allowed_signers: Path | None) -> None:
    """Fetch a release and check every byte of it.

    SRC is a folder, hf://datasets/OWNER/NAME, s3://BUCKET/FOLDER or the https address of a folder.
    The release appears when it is complete and right. After an interruption, the same command
    resumes.
    """
    from builder.progress import progress
    from builder.share.announced import Trust
    from builder.share.pull import pull as fetch
    from builder.store import is_url
    from builder.store.url import without_secrets

    digest = None if digest is None else digest.strip().lower()
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UsageError(
            f"--digest is {printable(repr(digest))}: give the 64 letters and digits that "
            "the publisher's xbuild share or xbuild info prints."
        )
    trust = Trust(digest=digest, allowed_signers=allowed_signers)
    pulled = fetch(source, out, trust, progress=progress)
    if digest is None and allowed_signers is None:
        shown = without_secrets(source) if is_url(source) else source
        echo(
            f"Note: neither --digest nor --allowed-signers says whose release this is, so "
            f"{printable(shown)} itself is trusted.",
            err=True,
        )
    signer = f", signed by {printable(pulled.signer)}" if pulled.signer else ""
    echo(
        f"{pulled.folder}: {pulled.manifest.name} is here{' already' if pulled.here else ''}, "
        f"every byte as it was shared (digest {pulled.manifest.digest}){signer}."
    )
    echo(f"Next: {next_step(pulled.manifest, pulled.path)}")


@click.command()
@click.argument("manifest", type=OrUrl(PLACE))
def info(manifest: Path | str) -> None:
    """Say what a dataset is.

    MANIFEST is a manifest, also behind a URL, or a release: its images, how often each pathology is
    present before and after, its generator, where it comes from, its digest.
    """
    from builder.share.describe import info_text

    with dataset_near(manifest) as here:
        echo(info_text(here.path))


@click.command()
@click.argument("one", metavar="A", type=OrUrl(PLACE))
@click.argument("other", metavar="B", type=OrUrl(PLACE))
def diff(one: Path | str, other: Path | str) -> None:
    """Say in what two datasets differ.

    A and B are manifests, also behind a URL, or releases. The fields of a recipe stand there as the
    options that set them.
    """
    from builder.share.describe import diff_text

    with dataset_near(one) as first, dataset_near(other) as second:
        echo(diff_text(first.path, second.path))


def verify_release(folder: Path, allowed_signers: Path | None) -> None:
    """Print OK for a release; CheckError after every fault that it has."""
    from builder.contract.record import read_bytes
    from builder.progress import progress
    from builder.share.check import SIGNATURE, SUMS, check_release, manifest_of
    from builder.share.sign import check_signer

    found = sorted(map(str, folder.glob("manifests/*.json")))
    if found and not (folder / SUMS).exists():
        raise UsageError(f"{folder} is the folder of a dataset: name {' or '.join(found[:5])}.")
    sealed = load_manifest(manifest_of(folder))
    with progress("verifying", sum(s.nsamples for s in sealed.shardlist)) as advance:
        faults = list(check_release(folder, advance))
    tell_faults(folder, faults)
    for name in ("shards", "audits", "galleries"):
        if (folder / name).exists():
            echo(
                f"Note: {folder / name} is no part of the release, and may hold real images: do "
                "not pass it on.",
                err=True,
            )
    signer = ""
    if allowed_signers is not None:
        sums = read_bytes(folder / SUMS)
        signer = check_signer(sums, read_bytes(folder / SIGNATURE), allowed_signers)
        signer = f", signed by {printable(signer)}"
    echo(
        f"OK: every file that {folder / SUMS} lists is as it was shared (digest "
        f"{sealed.digest}){signer}."
    )


def tell_faults(place: Path | str, faults: Sequence[str]) -> None:
    """Print each fault of a dataset; CheckError with their number where there is one."""
    for fault in faults:
        echo(fault, err=True)
    if faults:
        raise CheckError(f"{place}: {'1 fault' if len(faults) == 1 else f'{len(faults)} faults'}.")


def release_text(release: "Release") -> str:
    """What would leave: every file with its size, and their sum."""
    files = sorted(release.files, key=lambda file: file.path)
    width = max(len(file.path) for file in files)
    lines = [f"{file.path:<{width}}  {file.size:>15,} bytes" for file in files]
    total = sum(file.size for file in files)
    lines.append(f"{'in all':<{width}}  {total:>15,} bytes")
    lines.append(
        f"{release.images:,} synthetic images; {release.real:,} real images are listed by a hash, "
        "and none of them leaves."
    )
    return "\n".join(lines)
