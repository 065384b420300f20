"""A manifest into the dataset that it describes, proved → Outcome.

The synthetic half is rendered again, unless all of it is here as it was sealed; then no generator
is needed. The real half is packed from the recipient's own images. The result has the manifest's
name if it is proved to be that dataset; otherwise it has another name and counts its differences,
or it is not sealed at all.
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
from builder.contract.new_file import refuse_link
from builder.engines.make import Work
from builder.recipe import Layout, Recipe
from builder.share.known import Known, read_known
from builder.share.lockfile import Own, Recalled, recall
from builder.share.place import (
    adopt,
    discard,
    has_synthetic_half,
    is_proved,
    other_names,
    publish,
    seal_otherwise,
)
from builder.share.proof import Proof, Rebuilt, prove
from builder.software import software


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
    _check_place(manifest, path, work.out, anyway=anyway)
    task = _Task(
        path=path,
        manifest=manifest,
        known=read_known(manifest, path),
        out=work.out,
        anyway=anyway,
    )
    refuse_link(task.workroom)
    if task.is_done():
        shutil.rmtree(task.workroom, ignore_errors=True)  # of a run that was killed at the end
        return _seal_same(task, None, _whole(manifest))
    rendered = not manifest.real_only and has_synthetic_half(manifest, task.out)
    recalled = recall(manifest, path, own, anyway=anyway, rendered=rendered)
    tell(recalled.cohort.table.notes)
    with claimed(task.out):
        keep_recipes(_recipes(task, recalled))
        adopt(manifest, task.known, task.out, task.workroom)
        rebuilt = _build(task, recalled, work)
        proof = prove(manifest, task.known, rebuilt)
        return replace(_settle(task, recalled, rebuilt, proof), refusals=recalled.refusals)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A manifest, what lies next to it, and where its dataset goes."""

    path: Path
    manifest: Manifest
    known: Known | None
    out: Path
    anyway: bool

    @property
    def workroom(self) -> Path:
        """The root of what is not proved yet."""
        return self.out / f".rebuild-{self.manifest.name}"

    def sealed(self, name: str) -> Path:
        """The path of a manifest below `out`."""
        return self.out / "manifests" / f"{name}.json"

    def is_done(self) -> bool:
        """Whether nothing is left to do but to put manifest and index in their places."""
        indexed = self.known is not None and self.known.index is not None
        return indexed and all(is_proved(shard, self.out) for shard in self.manifest.shardlist)


def _whole(manifest: Manifest) -> Proof:
    """The proof of a dataset whose shards are here as sealed."""
    equal = frozenset(shard.url for shard in manifest.shardlist)
    return Proof(equal=equal, same=True, differences=(), farthest=0)


def _check_place(manifest: Manifest, path: Path, out: Path, *, anyway: bool) -> None:
    """UsageError where another dataset has a name in `out` that this one may get."""
    for name in (manifest.name, f"{manifest.name}-rebuilt")[: 1 + anyway]:
        target = out / "manifests" / f"{name}.json"
        try:
            found = load_manifest(target)
        except Refusal:  # absent or damaged: it is written
            continue
        origin = found.source.get("rebuilt_from")
        digest = origin.get("digest") if isinstance(origin, dict) else None
        if manifest.digest not in (found.digest, digest):
            raise UsageError(
                f"{target} is another dataset than {path}, of the same name: use another --out."
            )


def _recipes(task: _Task, recalled: Recalled) -> Mapping[Path, Mapping[str, object]]:
    table, recipe = recalled.cohort.table, recalled.recipe
    layout = Layout(root=task.out, pathologies=table.pathologies, image=recipe.image)
    if not isinstance(recipe, Recipe) or recalled.blueprint is None:
        return real_recipes(recipe, layout)
    if recalled.absent:  # its images were rendered by the versions that the manifest names
        return recipes(recipe, task.manifest.software, layout)
    return recipes(recipe, software(recalled.generator, recalled.blueprint.checks), layout)


def _build(task: _Task, recalled: Recalled, work: Work) -> Rebuilt:
    """The dataset below a root of its own, by the pipeline that every dataset comes from."""
    left_out = task.manifest.source.get("left_out")
    work = replace(work, out=task.workroom, skip_bad=task.anyway or bool(left_out))
    try:
        if recalled.blueprint is None:
            built = pack(recalled.request, recalled.cohort, work)
        else:
            loaded = recalled.generator if recalled.absent else None
            built = synth(recalled.blueprint, work, loaded).manifest
    except CheckError as error:  # the option has another name here
        raise CheckError(str(error).replace("--skip-bad", "--anyway")) from None
    sealed = load_manifest(work.out / "manifests" / f"{built.name}.json")
    return Rebuilt(manifest=sealed, index=load_index(sealed, work.out), root=work.out)


def _settle(task: _Task, recalled: Recalled, rebuilt: Rebuilt, proof: Proof) -> Outcome:
    """Give what was built the name that it has earned."""
    others = [s for s in rebuilt.manifest.shardlist if s.url not in proof.equal]
    listed = _list_differences(task, proof)
    equal = [s.url for s in rebuilt.manifest.shardlist if s.url in proof.equal]
    publish(equal, rebuilt.root, task.out, {})
    if proof.same:
        outcome = _seal_same(task, rebuilt, proof)
        shutil.rmtree(rebuilt.root)
        return outcome
    if proof.differences and not task.anyway:
        discard([s.url for s in others if s.origin == "real"], rebuilt.root)  # may be repaired
        raise CheckError(_found(task, proof, listed))
    name = f"{task.manifest.name}-rebuilt"
    names = other_names([shard.url for shard in others], task.manifest.name)
    task.sealed(name).unlink(missing_ok=True)  # the shards that it lists are replaced
    publish(names, rebuilt.root, task.out, names)
    origin = {"rebuilt_from": _origin(task.manifest, proof, recalled)}
    path = seal_otherwise(rebuilt, names, task.out, name, origin)
    shutil.rmtree(rebuilt.root)
    for folder in _recipes(task, recalled):
        if not any(folder.glob("*.tar")):  # its shards have another name
            shutil.rmtree(folder)
    return Outcome(path=path, manifest=load_manifest(path), proof=proof, differences=listed)


def _seal_same(task: _Task, rebuilt: Rebuilt | None, proof: Proof) -> Outcome:
    """The manifest and its index as they were sealed, in their places below `out`."""
    manifest, known = task.manifest, task.known
    index = task.out / manifest.index.url
    if not index.is_file() or sha256_file(index) != manifest.index.sha256:
        if known is not None and known.index is not None:
            write_last(index, known.index.read_bytes())
        elif rebuilt is not None:
            write_last(index, (rebuilt.root / rebuilt.manifest.index.url).read_bytes())
    target, data = task.sealed(manifest.name), manifest.to_json().encode()
    if not target.is_file() or target.read_bytes() != data:
        write_last(target, data)
    return Outcome(path=target, manifest=manifest, proof=proof, here=rebuilt is None)


def _origin(manifest: Manifest, proof: Proof, recalled: Recalled) -> Mapping[str, object]:
    """What the manifest of a dataset that is not the same says of where it comes from.

    Differences are counted alone: their sentences tell labels of real images, and a manifest leaves
    in a release.
    """
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "shards": len(manifest.shardlist),
        "shards_equal": len(proof.equal),
        "farthest_sketch": proof.farthest,
        "differences": len(proof.differences),
        "built_with": list(recalled.refusals),
    }


def _found(task: _Task, proof: Proof, listed: Path | None) -> str:
    count = len(proof.differences)
    what = "1 difference" if count == 1 else f"{count:,} differences, the first"
    return (
        f"{task.path} cannot be rebuilt here: {what}: {proof.differences[0]} All are listed in "
        f"{listed}; --anyway seals what was built as {task.manifest.name}-rebuilt."
    )


def _list_differences(task: _Task, proof: Proof) -> Path | None:
    """The file with all differences; a former one goes when there are none."""
    path = task.out / f"{task.manifest.name}-differences.txt"
    if not proof.differences:
        path.unlink(missing_ok=True)
        return None
    write_last(path, "".join(f"{each}\n" for each in proof.differences).encode())
    return path
