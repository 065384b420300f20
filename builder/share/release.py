"""A sealed dataset and its publisher's words → Release: every file that would leave, scanned.

Nothing is written here. The bytes depend on the dataset and on the publisher's words alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import generators
from builder.contract import (
    CheckError,
    Manifest,
    dataset_root,
    index_root,
    load_index,
    load_manifest,
    sha256_file,
)
from builder.contract.audit import audit_bytes
from builder.progress import Progress
from builder.share.audited import AUDIT, for_strangers, own_audit
from builder.share.card import card_text, licence_text
from builder.share.check import SUMS
from builder.share.croissant import croissant_json
from builder.share.leaks import Forbidden, image_leak, json_leaks, parquet_leaks, text_leaks
from builder.share.metadata import METADATA, REAL, metadata_bytes, real_bytes
from builder.share.people import told_by
from builder.share.publisher import Publisher
from builder.share.shards import examine
from builder.share.summary import summarise
from builder.share.tables import read_tables
from builder.store.sending import Outgoing, made

GENERATOR_CARD = "generator.md"

_CHECKED = ("key", "sha256")  # columns that `shards` compared with a pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """All that would leave; `files` in the order in which they are written, SHA256SUMS last."""

    name: str
    digest: str  # of the manifest
    images: int
    real: int  # images that are listed, not sent
    files: tuple[Outgoing, ...]
    notes: tuple[str, ...] = ()  # for the publisher: how the patients of each table were found

    @property
    def sums(self) -> bytes:
        """The content of SHA256SUMS."""
        data = self.files[-1].data
        assert data is not None
        return data


def compose(
    manifest_path: Path,
    publisher: Publisher,
    *,
    root: Path | None,
    tables: Sequence[Path],
    progress: Progress,
    audit: Path | None = None,
) -> Release:
    """The release of a sealed dataset, once nothing in it is found that must not leave.

    `tables` are label tables whose rows must not be in it; `audit` is the file of the dataset's
    audit, which by default is where `xbuild audit` writes it. UsageError where there is nothing to
    share, or the audit is of another dataset; CheckError where a file is not the sealed one, or
    lists what must not leave.
    """
    manifest = load_manifest(manifest_path)
    own = index_root(manifest, manifest_path, root)
    index = load_index(manifest, own)
    audited = own_audit(manifest_path, manifest, audit)
    forbidden, notes = read_tables(tables, told_by(manifest), progress)
    examined = examine(manifest, index, root or dataset_root(manifest_path), progress)
    tables_of = [made(METADATA, metadata_bytes(examined.rows, manifest.pathologies))]
    if examined.real:
        tables_of.append(made(REAL, real_bytes(examined.real)))
    else:  # the sealed index holds synthetic images alone, so xtrain can use it as it is
        data = (own / manifest.index.url).read_bytes()
        tables_of.append(made(f"manifests/{manifest.name}.parquet", data))
    small = [
        *tables_of,
        made(f"manifests/{manifest.name}.json", manifest.to_json().encode()),
        made("croissant.json", croissant_json(manifest, publisher, examined.tars, tables_of[0])),
        made("LICENSE.md", licence_text(publisher).encode()),
    ]
    if card := publisher.generator_card or _own_card(manifest):
        small.append(made(GENERATOR_CARD, card.encode()))
    if audited:
        small.append(made(AUDIT, audit_bytes(for_strangers(audited))))
    summary = summarise(manifest, index)
    paths = [file.path for file in small]
    text = card_text(manifest, publisher, summary, paths, audited)
    small.append(made("README.md", text.encode()))
    names = "\n".join(sorted(examined.rows.names()))
    _refuse([*text_leaks(names, "a key", forbidden), *_leaks(small, forbidden)])
    files = [*examined.tars, *examined.idx, *small]
    return Release(
        name=manifest.name,
        digest=manifest.digest,
        images=len(examined.rows.key),
        real=len(examined.real),
        files=(*files, made(SUMS, sums_text(files))),
        notes=notes,
    )


def sums_text(files: Sequence[Outgoing]) -> bytes:
    """SHA256SUMS, as `sha256sum -c` reads it, in the order of the paths."""
    lines = [f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda f: f.path)]
    return "".join(lines).encode()


def _own_card(manifest: Manifest) -> str:
    """The card of a generator that comes with the project; "" where it is another one."""
    sha256 = (manifest.generator or {}).get("sha256")
    for weights in sorted(Path(generators.__file__).parent.glob("*.safetensors")):
        card = weights.with_suffix(".card.md")
        if card.is_file() and sha256_file(weights) == sha256:
            return card.read_text()
    return ""


def _leaks(files: Sequence[Outgoing], forbidden: Forbidden) -> Iterator[str]:
    """What the files would tell of patients or of this machine, a sentence for each kind."""
    for file in files:
        data = file.data or b""
        if file.path.endswith(".parquet"):
            yield from parquet_leaks(data, file.path, forbidden, _CHECKED)
            continue
        yield from image_leak(data, file.path)
        if file.path.endswith(".json"):
            yield from json_leaks(data, file.path, forbidden)
        else:
            yield from text_leaks(data.decode(), file.path, forbidden)


def _refuse(leaks: Sequence[str]) -> None:
    if leaks:
        raise CheckError(
            f"Nothing was shared, because a release must not hold this: {'; '.join(leaks)}."
        )
