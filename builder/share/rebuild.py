"""A manifest into the dataset that it describes, proved → Outcome.

The synthetic half is rendered again, the real half packed from the recipient's own images. The
result has the manifest's name if it is proved to be that dataset; otherwise it has another name and
says in what it differs, or it is not sealed at all.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.build import pack, synth
from builder.claim import claimed, keep_recipes, real_recipes, recipes
from builder.contract import (
    CheckError,
    Manifest,
    Refusal,
    UsageError,
    load_index,
    load_manifest,
    sha256_file,
    write_last,
)
from builder.engines.make import Work
from builder.recipe import Layout, Recipe
from builder.share.known import Known, read_known
from builder.share.lockfile import Own, Recalled, recall
from builder.share.place import adopt, discard, is_proved, other_names, publish, seal_otherwise
from builder.share.proof import Proof, Rebuilt, prove

_NAMED = 10  # differences that a manifest names


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a rebuild came to; its dataset is sealed."""

    path: Path  # of its manifest
    manifest: Manifest
    proof: Proof
    here: bool = False  # whether it was complete before
    differences: Path | None = None  # the file that lists them all
    refusals: tuple[str, ...] = ()  # what was different from the start, and built all the same


def rebuild(
    path: Path,
    own: Own,
    work: Work,
    *,
    anyway: bool = False,
    tell: Callable[[Sequence[str]], None] = lambda _: None,
) -> Outcome:
    """The dataset of the manifest in the file `path`, below `work.out`.

    UsageError where it cannot be built as it was. CheckError where it came out otherwise; what is
    proved is kept, and the differences are listed in NAME-differences.txt. With `anyway` it is
    built in either case, and sealed as NAME-rebuilt unless it is proved to be the same. `tell` gets
    the notes of the label table. An interrupted rebuild is resumed by running it again.
    """
    manifest = load_manifest(path)
    _check_place(manifest, path, work.out)
    known = read_known(manifest, path)
    if _is_complete(manifest, known, work.out):
        proof = Proof(
            equal=frozenset(s.url for s in manifest.shardlist),
            same=True,
            differences=(),
            farthest=0,
        )
        return _seal_same(manifest, known, None, work.out, proof)
    recalled = recall(manifest, path, own, anyway=anyway)
    tell(recalled.cohort.table.notes)
    with claimed(work.out):
        keep_recipes(_recipes(recalled, work.out))
        workroom = work.out / f".rebuild-{manifest.name}"
        adopt(manifest.shardlist, known, work.out, workroom)
        rebuilt = _build(manifest, recalled, replace(work, out=workroom), anyway=anyway)
        proof = prove(manifest, known, rebuilt)
        return _settle(path, manifest, known, rebuilt, proof, recalled, work.out, anyway=anyway)


def _check_place(manifest: Manifest, path: Path, out: Path) -> None:
    """UsageError where another dataset has the manifest's name in `out`."""
    target = out / "manifests" / f"{manifest.name}.json"
    try:
        found = load_manifest(target)
    except Refusal:  # absent or damaged: it is written
        return
    if found.digest != manifest.digest:
        raise UsageError(
            f"{target} is another dataset than {path}, of the same name: use another --out."
        )


def _is_complete(manifest: Manifest, known: Known | None, out: Path) -> bool:
    """Whether nothing is left to do but to put manifest and index in their places."""
    indexed = known is not None and known.index is not None
    return indexed and all(is_proved(shard, out) for shard in manifest.shardlist)


def _recipes(recalled: Recalled, out: Path) -> Mapping[Path, Mapping[str, object]]:
    table, recipe = recalled.cohort.table, recalled.recipe
    layout = Layout(root=out, pathologies=table.pathologies, image=recipe.image)
    if isinstance(recipe, Recipe) and recalled.generator is not None:
        return recipes(recipe, recalled.generator, layout)
    return real_recipes(recipe, layout)


def _build(manifest: Manifest, recalled: Recalled, work: Work, *, anyway: bool) -> Rebuilt:
    """The dataset below a root of its own, by the line that every dataset comes from."""
    left_out = manifest.source.get("left_out")
    work = replace(work, skip_bad=anyway or bool(left_out))
    try:
        if recalled.blueprint is None:
            built = pack(recalled.request, recalled.cohort, work)
        else:
            built = synth(recalled.blueprint, work).manifest
    except CheckError as error:  # the option has another name here
        raise CheckError(str(error).replace("--skip-bad", "--anyway")) from None
    return Rebuilt(manifest=built, index=load_index(built, work.out), root=work.out)


def _settle(
    path: Path,
    manifest: Manifest,
    known: Known | None,
    rebuilt: Rebuilt,
    proof: Proof,
    recalled: Recalled,
    out: Path,
    *,
    anyway: bool,
) -> Outcome:
    """Give what was built the name that it has earned."""
    urls = [shard.url for shard in rebuilt.manifest.shardlist]
    others = [url for url in urls if url not in proof.equal]
    listed = _list_differences(manifest, proof, out)
    publish([url for url in urls if url in proof.equal], rebuilt.root, out, {})
    if proof.same:
        outcome = _seal_same(manifest, known, rebuilt, out, proof)
        shutil.rmtree(rebuilt.root)
        return replace(outcome, refusals=recalled.refusals)
    if proof.differences and not anyway:
        real = {s.url for s in rebuilt.manifest.shardlist if s.origin == "real"}
        discard([url for url in others if url in real], rebuilt.root)  # images may be repaired
        raise CheckError(
            f"{path} cannot be rebuilt here: {len(proof.differences):,} differences, the first: "
            f"{proof.differences[0]} All are listed in {listed}; --anyway seals what was built as "
            f"{manifest.name}-rebuilt."
        )
    names = other_names(others, manifest.name)
    target = out / "manifests" / f"{manifest.name}-rebuilt.json"
    target.unlink(missing_ok=True)  # the shards that it lists are replaced
    publish(others, rebuilt.root, out, names)
    source = {"rebuilt_from": _origin(manifest, proof, recalled)}
    seal_otherwise(rebuilt.manifest, rebuilt.index, names, out, source)
    shutil.rmtree(rebuilt.root)
    for folder in _recipes(recalled, out):
        if not any(folder.glob("*.tar")):  # its shards have another name
            shutil.rmtree(folder)
    return Outcome(
        path=target,
        manifest=load_manifest(target),
        proof=proof,
        differences=listed,
        refusals=recalled.refusals,
    )


def _seal_same(
    manifest: Manifest, known: Known | None, rebuilt: Rebuilt | None, out: Path, proof: Proof
) -> Outcome:
    """The manifest and its index as they were sealed, in their places below `out`."""
    index = out / manifest.index.url
    if not index.is_file() or sha256_file(index) != manifest.index.sha256:
        if known is not None and known.index is not None:
            write_last(index, known.index.read_bytes())
        elif rebuilt is not None:
            write_last(index, (rebuilt.root / rebuilt.manifest.index.url).read_bytes())
    target = out / "manifests" / f"{manifest.name}.json"
    data = manifest.to_json().encode()
    if not target.is_file() or target.read_bytes() != data:
        write_last(target, data)
    return Outcome(path=target, manifest=manifest, proof=proof, here=rebuilt is None)


def _origin(manifest: Manifest, proof: Proof, recalled: Recalled) -> Mapping[str, object]:
    """What the manifest of a dataset that is not the same says of where it comes from."""
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "shards": len(manifest.shardlist),
        "shards_equal": len(proof.equal),
        "farthest_sketch": proof.farthest,
        "differences": len(proof.differences),
        "first_differences": list(proof.differences[:_NAMED]),
        "built_with": list(recalled.refusals),
    }


def _list_differences(manifest: Manifest, proof: Proof, out: Path) -> Path | None:
    """The file with all differences; a former one goes when there are none."""
    path = out / f"{manifest.name}-differences.txt"
    if not proof.differences:
        path.unlink(missing_ok=True)
        return None
    write_last(path, "".join(f"{each}\n" for each in proof.differences).encode())
    return path
