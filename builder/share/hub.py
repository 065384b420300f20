"""A release onto the Hugging Face Hub: shard by shard, then one commit that shows all of it.

Nothing is visible before the commit, which names the state that it is made on: somebody else's
commit in between is not written over. What was uploaded before an interruption is not sent again.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builder.contract import CheckError, UsageError, printable, sha256_bytes
from builder.progress import Progress
from builder.share.check import SIGNATURE, SUMS
from builder.share.release import Release, ReleaseFile
from builder.share.sending import Store, made, mebibytes

DATASET = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/?")
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
    overtaken = not repository.commit(release.name, files, stale, head, progress)
    found = dict(repository.files(repository.head()))
    if not _is_there(files, found):
        if overtaken:
            raise UsageError(
                f"Somebody else changed {repository.shown} meanwhile: run the same command again, "
                "which sends nothing twice."
            )
        wrong = next(f.path for f in files if found.get(f.path) not in (f.sha256, _git_hash(f)))
        raise CheckError(
            f"{repository.shown} shows another {printable(wrong)} than was sent: run the same "
            "command again."
        )
    return True


def _is_there(files: list[ReleaseFile], there: dict[str, str]) -> bool:
    """Whether the repository holds these files and no other."""
    own = {file.path for file in files}
    extra = {*there} - own - {*_KEPT, SIGNATURE}
    return not extra and all(there.get(f.path) in (f.sha256, _git_hash(f)) for f in files)


def _git_hash(file: ReleaseFile) -> str:
    """Git's name for the bytes of a file, by which the Hub lists small ones; "" for a shard."""
    if file.data is None:
        return ""
    return hashlib.sha1(b"blob %d\0" % len(file.data) + file.data).hexdigest()


class _Repository:
    """A dataset repository on the Hub."""

    def __init__(self, url: str) -> None:
        """UsageError where the URL names none, or the library is missing."""
        if not (match := DATASET.fullmatch(url)):
            raise UsageError(
                f"{printable(repr(url))} names no dataset on the Hub: give "
                "hf://datasets/OWNER/NAME."
            )
        try:
            from huggingface_hub import HfApi
            from huggingface_hub.utils.tqdm import disable_progress_bars
        except ImportError:
            raise UsageError(
                "hf:// needs a library that is not installed: pip install 'cxr-rebalance[remote]'."
            ) from None
        disable_progress_bars()  # ours says more, and two of them disturb each other
        self._api: Any = HfApi(library_name="cxr-rebalance")
        self._id, self._revision = match[1], match[2]
        self.shown = f"hf://datasets/{self._id}"
        self._store = Store(scheme="hf", shown=self.shown)
        self._where = {"repo_id": self._id, "repo_type": "dataset"}

    def create(self) -> None:
        """Make the repository if it is missing."""
        self._store.ask(lambda: self._api.create_repo(**self._where, exist_ok=True))

    def gate(self) -> None:
        """Let readers agree to the card's text first."""
        settings = {**self._where, "gated": "auto"}
        self._store.ask(lambda: self._api.update_repo_settings(**settings))

    def head(self) -> str:
        """The commit that readers see now."""
        where = {**self._where, "revision": self._revision}
        sha: str = self._store.ask(lambda: self._api.repo_info(**where).sha)
        return sha

    def files(self, commit: str) -> Iterator[tuple[str, str]]:
        """Path, and sha256 or Git's hash, of each file at a commit."""
        where = {**self._where, "revision": commit, "recursive": True}
        entries = self._store.ask(lambda: list(self._api.list_repo_tree(**where)))
        for entry in entries:
            if hasattr(entry, "blob_id"):  # a file, no folder
                yield entry.path, entry.lfs.sha256 if entry.lfs else entry.blob_id

    def stale(
        self, name: str, files: list[ReleaseFile], there: dict[str, str], commit: str
    ) -> list[str]:
        """What an older release of the dataset `name` has left there.

        UsageError where another dataset's release is, or a file that the older one does not list
        so: one that a person put there, or changed there.
        """
        own = {file.path: (file.sha256, _git_hash(file)) for file in files}
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
            if _DOCUMENT.search(path) and sha256_bytes(self._read(path, commit)) != listed[path]:
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
        text = self._read(SUMS, commit).decode(errors="replace")
        lines = [line.partition("  ") for line in text.splitlines()]
        listed = {path: sha256 for sha256, _, path in lines}
        if f"manifests/{name}.json" not in listed:
            raise UsageError(
                f"{self.shown} holds the release of another dataset than {name}: choose another "
                "repository, or remove that release if nobody uses it."
            )
        return {**listed, SUMS: "", SIGNATURE: ""}

    def commit(
        self,
        name: str,
        files: list[ReleaseFile],
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
                additions.append(self._send(file))
                advance(mebibytes(file.size))
        operations = [*additions, *(CommitOperationDelete(path) for path in stale)]
        asked = {**self._place(), "operations": operations, "parent_commit": head}
        asked["commit_message"] = f"Release {name}"
        try:
            self._store.send("a commit", lambda: self._commit(asked), _OvertakenError)
        except _OvertakenError:
            return False
        return True

    def _send(self, file: ReleaseFile) -> Any:
        """The file as a part of a commit, its content sent where the Hub keeps it apart."""
        from huggingface_hub import CommitOperationAdd

        content = str(file.source) if file.source else file.data or b""
        addition = CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=content)
        if addition.upload_info.sha256.hex() != file.sha256:
            raise CheckError(f"{file.source} changed before it was sent: start again.")
        asked = {**self._place(), "additions": [addition]}
        self._store.send(file.path, lambda: self._api.preupload_lfs_files(**asked))
        return addition

    def _commit(self, asked: dict[str, object]) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        try:
            self._api.create_commit(**asked)
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code == 412:
                raise _OvertakenError from None
            raise

    def _place(self) -> dict[str, object]:
        return {**self._where, "revision": self._revision}

    def _read(self, path: str, commit: str) -> bytes:
        """The content of a small file."""
        with tempfile.TemporaryDirectory() as folder:
            asked = {**self._where, "revision": commit, "filename": path, "local_dir": folder}
            local = self._store.ask(lambda: self._api.hf_hub_download(**asked))
            return Path(local).read_bytes()


class _OvertakenError(Exception):
    """Another commit was made in between."""
