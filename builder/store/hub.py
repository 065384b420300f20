"""A dataset repository on the Hugging Face Hub: what it holds, and commits that add to it.

Nothing is visible before a commit, which names the state that it is made on: somebody else's commit
in between is not written over. What was uploaded before an interruption is not sent again.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from builder.contract import CheckError, UsageError, printable
from builder.store.files import LISTING, SLOWEST_BLOCK, TIMEOUT
from builder.store.remote import OutOfReach
from builder.store.sending import ATTEMPTS, Advance, Alive, Outgoing, Store, taken
from builder.store.threads import within

T = TypeVar("T")

DATASET = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/?")


def git_hash(file: Outgoing) -> str:
    """Git's name for the bytes of a file, by which the Hub lists small ones; "" for a large one."""
    if file.data is None:
        return ""
    return hashlib.sha1(b"blob %d\0" % len(file.data) + file.data).hexdigest()


class Repository:
    """A dataset repository on the Hub."""

    def __init__(self, url: str, alive: Alive = lambda: None) -> None:
        """UsageError where the URL names none, or the library is missing.

        `alive` is called while the Hub is waited for, and ends the wait where it raises.
        """
        self._alive = alive
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

    def create(self, *, private: bool | None = None) -> None:
        """Make the repository if it is missing; whether it is `private` counts then alone."""
        asked = {**self._where, "exist_ok": True, "private": private}
        self._ask(lambda: self._api.create_repo(**asked))

    def head(self) -> str:
        """The commit that readers see now."""
        where = {**self._where, "revision": self._revision}
        sha: str = self._ask(lambda: self._api.repo_info(**where).sha)
        return sha

    def sizes(self, commit: str) -> dict[str, int]:
        """Path → bytes of each file at a commit."""
        return {entry.path: entry.size for entry in self._entries(commit)}

    def files(self, commit: str) -> Iterator[tuple[str, str]]:
        """Path, and sha256 or Git's hash, of each file at a commit."""
        for entry in self._entries(commit):
            yield entry.path, entry.lfs.sha256 if entry.lfs else entry.blob_id

    def read(self, path: str, commit: str) -> bytes:
        """The content of a small file."""
        with tempfile.TemporaryDirectory() as folder:
            asked = {**self._where, "revision": commit, "filename": path, "local_dir": folder}
            local = self._ask(lambda: self._api.hf_hub_download(**asked))
            return Path(local).read_bytes()

    def upload(self, file: Outgoing, alive: Alive = lambda: None) -> Any:
        """The file as a part of a commit, its content sent where the Hub keeps it apart."""
        from huggingface_hub import CommitOperationAdd

        content = str(file.source) if file.source else file.data or b""
        addition = CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=content)
        if addition.upload_info.sha256.hex() != file.sha256:
            raise CheckError(f"{file.source} changed before it was sent: start again.")
        asked = {**self._place(), "additions": [addition]}
        ask = partial(self._api.preupload_lfs_files, **asked)
        limit = TIMEOUT + file.size / SLOWEST_BLOCK
        self._store.send(file.path, lambda: within(limit, ask, alive), alive=alive)
        return addition

    def commit(self, message: str, operations: Sequence[Any], head: str) -> bool:
        """Show what was uploaded, and remove files, all at once.

        False where the Hub refuses, because `head` is no longer what readers see.
        """
        asked = {**self._place(), "operations": operations, "parent_commit": head}
        asked["commit_message"] = message
        try:
            self._store.send("a commit", lambda: self._commit(asked), _OvertakenError)
        except _OvertakenError:
            return False
        return True

    def _ask(self, what: Callable[[], T]) -> T:
        """What `what` gives, which sends nothing."""
        return self._store.ask(lambda: within(LISTING, what, self._alive), self._alive)

    def _entries(self, commit: str) -> list[Any]:
        """What the Hub says of each file at a commit."""
        where = {**self._where, "revision": commit, "recursive": True}
        entries = self._ask(lambda: list(self._api.list_repo_tree(**where)))
        return [entry for entry in entries if hasattr(entry, "blob_id")]  # a file, no folder

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


class HubTarget:
    """A dataset repository that files are added to, some in each commit; none is written over."""

    def __init__(self, url: str, alive: Alive = lambda: None) -> None:
        """As `Repository`."""
        self._repository = Repository(url, alive)
        self._seen: tuple[str, dict[str, int]] | None = None  # a commit, and its files
        self.shown = self._repository.shown

    def prepare(self) -> None:
        """Make the repository where it is missing, for nobody else to see: xbuild share shows."""
        self._repository.create(private=True)

    def sizes(self, folder: str) -> dict[str, int]:
        """Name → bytes of the files in a folder."""
        found = {PurePosixPath(path): size for path, size in self._now()[1].items()}
        return {path.name: size for path, size in found.items() if str(path.parent) == folder}

    def size(self, path: str) -> int | None:
        """The bytes of a file; None where there is none."""
        return self._now()[1].get(path)

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """A small file, None where there is none; CheckError where it has more bytes."""
        if (size := self.size(path)) is None:
            return None
        if size > max_bytes:
            raise CheckError(f"{self.shown}/{path} has {size:,} bytes: at most {max_bytes:,} fit.")
        return self._repository.read(path, self._now()[0])

    def _now(self) -> tuple[str, dict[str, int]]:
        """What readers saw when this was asked first: a request for each note would be too many."""
        if self._seen is None:
            head = self._repository.head()
            self._seen = head, self._repository.sizes(head)
        return self._seen

    def put(self, files: Sequence[Outgoing], advance: Advance) -> bool:
        """Whether anything was sent, in one commit; all files are there in the end.

        UsageError where another one is in the place of one. `advance` is called with bytes sent,
        with 0 meanwhile, and ends all where it raises.
        """
        alive, self._seen = partial(advance, 0), None
        sent: dict[str, Any] = {}
        for _ in range(ATTEMPTS):
            head = self._repository.head()
            there = dict(self._repository.files(head))
            absent = [file for file in files if file.path not in there]
            for file in files:
                if there.get(file.path) not in (None, file.sha256, git_hash(file)):
                    raise self.taken(file.path)
            if not absent:
                return bool(sent)
            for file in absent:
                if file.path not in sent:
                    sent[file.path] = self._repository.upload(file, alive)
                    advance(file.size)
            message = f"Add {absent[0].path}"
            self._repository.commit(message, [sent[file.path] for file in absent], head)
        raise OutOfReach(
            f"Cannot send {files[0].path} to {self.shown}: others changed it in each of {ATTEMPTS} "
            "attempts; run the same command again, which keeps what arrived."
        )

    def taken(self, path: str) -> UsageError:
        """What to say where another file is in the place of one that is sent."""
        return taken(self.shown, path)


class _OvertakenError(Exception):
    """Another commit was made in between."""
