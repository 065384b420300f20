"""A release onto the Hugging Face Hub: shard by shard, then one commit that shows all of it.

Nothing is visible before the commit, which names the state that it is made on: somebody else's
commit in between is not written over. What was uploaded before an interruption is not sent again.
"""

import re

from builder.contract import CheckError, UsageError, printable, sha256_bytes
from builder.progress import Progress
from builder.share.check import SIGNATURE, SUMS
from builder.share.release import Release
from builder.store.hub import Repository, git_hash
from builder.store.sending import Outgoing, made, mebibytes

_KEPT = (".gitattributes",)  # of the Hub itself
_DOCUMENT = re.compile(r"\.(md|json|html)$")  # what a person may change on the Hub's pages


def send_to_hub(
    release: Release, url: str, *, signature: bytes | None, gated: bool, progress: Progress
) -> bool:
    """Whether anything was sent to hf://datasets/OWNER/NAME; False where it is there already.

    The repository is made if it is missing. UsageError where it holds something else; CheckError
    where the Hub refuses, or does not show what it was given.
    """
    repository = _Repository(url)
    files = [*release.files, *([] if signature is None else [made(SIGNATURE, signature)])]
    repository.create()
    head = repository.head()
    there = dict(repository.files(head))
    complete = _is_there(files, there)
    stale = [] if complete else repository.stale(release.name, files, there, head)
    if gated:  # before anybody can see a file, but never what belongs to somebody else
        repository.gate()
    if complete:
        return False
    overtaken = not _send(repository, release.name, files, stale, head, progress)
    found = dict(repository.files(repository.head()))
    if not _is_there(files, found):
        if overtaken:
            raise UsageError(
                f"Somebody else changed {repository.shown} meanwhile: run the same command again, "
                "which sends nothing twice."
            )
        wrong = next(f.path for f in files if found.get(f.path) not in (f.sha256, git_hash(f)))
        raise CheckError(
            f"{repository.shown} shows another {printable(wrong)} than was sent: run the same "
            "command again."
        )
    return True


def _is_there(files: list[Outgoing], there: dict[str, str]) -> bool:
    """Whether the repository holds these files and no other."""
    own = {file.path for file in files}
    extra = {*there} - own - {*_KEPT, SIGNATURE}
    return not extra and all(there.get(f.path) in (f.sha256, git_hash(f)) for f in files)


def _send(
    repository: Repository,
    name: str,
    files: list[Outgoing],
    stale: list[str],
    head: str,
    progress: Progress,
) -> bool:
    """Send the files and show them, all at once, in place of the stale ones.

    False where the Hub refuses, because `head` is no longer what readers see.
    """
    from huggingface_hub import CommitOperationDelete

    with progress("sending", sum(mebibytes(file.size) for file in files), "MiB") as advance:
        additions = []
        for file in files:
            additions.append(repository.upload(file))
            advance(mebibytes(file.size))
    operations = [*additions, *(CommitOperationDelete(path) for path in stale)]
    return repository.commit(f"Release {name}", operations, head)


class _Repository(Repository):
    """A dataset repository that a release goes to."""

    def gate(self) -> None:
        """Let readers agree to the card's text first."""
        settings = {**self._where, "gated": "auto"}
        self._store.ask(lambda: self._api.update_repo_settings(**settings))

    def stale(
        self, name: str, files: list[Outgoing], there: dict[str, str], commit: str
    ) -> list[str]:
        """What an older release of the dataset `name` has left there.

        UsageError where another dataset's release is, or a file that the older one does not list
        so: one that a person put there, or changed there.
        """
        own = {file.path: (file.sha256, git_hash(file)) for file in files}
        listed = self._listed(name, commit) if SUMS in there else {}
        equal = {path for path, hashes in own.items() if there.get(path) in hashes}
        if foreign := sorted({*there} - {*listed} - equal - {*_KEPT}):
            count = "1 file" if len(foreign) == 1 else f"{len(foreign)} files"
            belong = "belongs" if len(foreign) == 1 else "belong"
            raise UsageError(
                f"{self.shown} holds {count} that {belong} to no release, such as "
                f"{printable(foreign[0])}: remove what nobody uses, or choose another repository."
            )
        for path in sorted({*there} & {*listed} - equal):
            if _DOCUMENT.search(path) and sha256_bytes(self.read(path, commit)) != listed[path]:
                raise UsageError(
                    f"{self.shown} holds a {printable(path)} that was changed there after its "
                    f"release: take what you need into release.toml, remove {printable(path)} "
                    "there, and run the same command again."
                )
        return sorted({*there} - {*own} - {*_KEPT})

    def _listed(self, name: str, commit: str) -> dict[str, str]:
        """Path → sha256 of the release of `name` that is there; UsageError where it is another's.

        SHA256SUMS and its signature, which nothing lists, have "".
        """
        text = self.read(SUMS, commit).decode(errors="replace")
        lines = [line.partition("  ") for line in text.splitlines()]
        listed = {path: sha256 for sha256, _, path in lines}
        if f"manifests/{name}.json" not in listed:
            raise UsageError(
                f"{self.shown} holds the release of another dataset than {name}: choose another "
                "repository, or remove that release if nobody uses it."
            )
        return {**listed, SUMS: "", SIGNATURE: ""}
