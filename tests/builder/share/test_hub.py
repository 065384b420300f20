"""A release onto a server with the API of the Hugging Face Hub, and one that fails."""

from typing import Any

import pytest

from builder.contract import CheckError, UsageError, sha256_bytes
from builder.progress import progress
from builder.share.check import SIGNATURE, SUMS
from builder.share.hub import send_to_hub
from builder.share.release import Release
from builder.store import OutOfReach

pytestmark = pytest.mark.filterwarnings(  # the Hub's library uses what its own one deprecates
    "ignore:Use 'content=:DeprecationWarning"
)

PLACE = "hf://datasets/chest/gan100"

Hub = Any  # the class of the fixture


def send(
    release: Release, place: str = PLACE, signature: bytes | None = None, gated: bool = False
) -> bool:
    return send_to_hub(release, place, signature=signature, gated=gated, progress=progress)


def content(release: Release) -> dict[str, bytes]:
    return {
        file.path: file.source.read_bytes() if file.source else file.data or b""
        for file in release.files
    }


def test_one_commit_shows_all_of_it_and_nothing_is_sent_twice(composed: Release, hub: Hub) -> None:
    assert send(composed)
    assert hub.commits == [content(composed)]
    sent = list(hub.sent)
    assert not send(composed)
    assert len(hub.commits) == 1
    assert hub.sent == sent
    assert hub.settings == {}


def test_a_signature_can_come_later(composed: Release, hub: Hub) -> None:
    send(composed)
    assert send(composed, signature=b"signed")
    assert hub.files == {**content(composed), SIGNATURE: b"signed"}
    assert not send(composed)


def test_a_gated_release_asks_its_readers(composed: Release, hub: Hub) -> None:
    assert send(composed)
    assert not hub.settings
    assert not send(composed, gated=True)  # also where the files are there already
    assert hub.settings == {"gated": "auto"}


@pytest.mark.parametrize(
    "where", ["/repos/create", "/preupload/", "/objects/batch", "/lfs/", "/commit/", "/tree/"]
)
@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_that_fails_is_asked_again(
    composed: Release, hub: Hub, where: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # huggingface_hub waits, too
    hub.faults = [(where, status)]
    assert send(composed)
    assert hub.commits == [content(composed)]


def test_a_hub_that_refuses_is_one_sentence(composed: Release, hub: Hub) -> None:
    hub.faults = [("/preupload/", 403)]
    with pytest.raises(CheckError, match=r"to hf://datasets/chest/gan100: access is refused"):
        send(composed)
    assert hub.commits == []


def test_a_hub_that_stays_down_is_said(
    composed: Release, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.faults = [("/commit/", 500)] * 100
    with pytest.raises(OutOfReach, match="7 attempts failed"):
        send(composed)
    assert hub.commits == []


def test_a_kill_shows_nothing_and_the_rerun_sends_no_shard_again(
    composed: Release, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("builder.store.hub.Repository._commit", kill)
        with pytest.raises(KeyboardInterrupt):
            send(composed)
    assert hub.commits == []
    sent = list(hub.sent)
    assert composed.files[0].sha256 in sent
    assert send(composed)
    assert hub.sent == sent
    assert hub.files == content(composed)


def test_somebody_elses_commit_is_not_written_over(composed: Release, hub: Hub) -> None:
    def overtake() -> None:
        hub.before_commit = lambda: None
        hub.commits.append({"README.md": b"somebody else's"})

    hub.before_commit = overtake
    with pytest.raises(UsageError, match="Somebody else changed hf://datasets/chest/gan100"):
        send(composed)
    assert hub.files == {"README.md": b"somebody else's"}


def test_a_commit_whose_answer_was_lost_is_found(composed: Release, hub: Hub) -> None:
    def lost() -> None:
        hub.before_commit = lambda: None
        hub.commits.append(content(composed))

    hub.before_commit = lost
    assert send(composed)
    assert hub.commits == [content(composed)]


def test_an_older_release_is_replaced_by_one_commit(composed: Release, hub: Hub) -> None:
    old = {**content(composed), "data/train-00099-of-00100.tar": b"old"}
    old[SUMS] += f"{'0' * 64}  data/train-00099-of-00100.tar\n".encode()
    hub.commits.append({**old, ".gitattributes": b"*.tar filter=lfs", SIGNATURE: b"old"})
    assert send(composed)
    assert hub.files == {**content(composed), ".gitattributes": b"*.tar filter=lfs"}


def test_files_of_others_are_not_touched(composed: Release, hub: Hub) -> None:
    hub.commits.append({"notes.txt": b"mine"})
    with pytest.raises(UsageError, match=r"1 file that belongs to no release, such as notes\.txt"):
        send(composed, gated=True)
    assert hub.commits == [{"notes.txt": b"mine"}]
    assert not hub.settings


def test_the_release_of_another_dataset_is_not_touched(composed: Release, hub: Hub) -> None:
    data = {"manifests/other.json": b"{}", "data/train-00000-of-00001.tar": b"other"}
    sums = "".join(f"{'0' * 64}  {path}\n" for path in sorted(data)).encode()
    hub.commits.append({**data, SUMS: sums})
    with pytest.raises(UsageError, match="the release of another dataset than gan100: choose"):
        send(composed)
    assert hub.commits == [{**data, SUMS: sums}]


def older(release: Release) -> dict[str, bytes]:
    """An older release of the same dataset, with another card and a document that is gone."""
    files = {**content(release), "README.md": b"old", "generator.md": b"old"}
    digests = {path: sha256_bytes(data) for path, data in files.items() if path != SUMS}
    files[SUMS] = "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()
    return files


@pytest.mark.parametrize("path", ["README.md", "generator.md", "LICENSE.md", "croissant.json"])
def test_a_document_that_was_changed_on_the_hub_is_not_written_over(
    composed: Release, hub: Hub, path: str
) -> None:
    edited = {**older(composed), path: b"edited"}
    hub.commits.append(edited)
    with pytest.raises(UsageError, match=rf"holds a {path} that was changed .* remove {path} th"):
        send(composed)
    assert hub.commits == [edited]
    del hub.commits[0][path]
    assert send(composed)
    assert hub.files == content(composed)


def test_an_older_card_that_nobody_changed_is_replaced(composed: Release, hub: Hub) -> None:
    hub.commits.append(older(composed))
    assert send(composed)
    assert hub.files == content(composed)


@pytest.mark.parametrize("path", ["README.md", SIGNATURE])
def test_a_file_of_the_same_name_that_no_release_lists_is_not_written_over(
    composed: Release, hub: Hub, path: str
) -> None:
    hub.commits.append({path: b"mine"})
    with pytest.raises(UsageError, match=f"1 file that belongs to no release, such as {path}"):
        send(composed, signature=b"signed")
    assert hub.commits == [{path: b"mine"}]


def test_a_file_that_the_older_release_does_not_list_is_not_written_over(
    composed: Release, hub: Hub
) -> None:
    old = {**content(composed), "README.md": b"mine", "notes.txt": b"mine"}
    lines = old[SUMS].decode().splitlines(keepends=True)
    old[SUMS] = "".join(line for line in lines if "README" not in line).encode()
    hub.commits.append(old)
    with pytest.raises(UsageError, match=r"2 files that belong to no release, such as README\.md"):
        send(composed)
    assert hub.commits == [old]


def test_files_that_are_there_already_as_they_must_be_are_nobody_elses(
    composed: Release, hub: Hub
) -> None:
    hub.commits.append({"LICENSE.md": content(composed)["LICENSE.md"]})
    assert send(composed)
    assert hub.files == content(composed)


def test_a_hub_that_shows_other_bytes_is_noticed(composed: Release, hub: Hub) -> None:
    path = composed.files[0].path

    class Lying(dict[str, bytes]):
        def items(self) -> Any:
            return [(name, b"x" if name == path else data) for name, data in super().items()]

    hub.commits = type("Commits", (list,), {"append": lambda _, f: list.append(_, Lying(f))})()
    with pytest.raises(CheckError, match=f"shows another {path} than was sent"):
        send(composed)


@pytest.mark.parametrize("place", ["hf://models/a/b", "hf://datasets/a", "hf://a/b/c"])
def test_a_url_without_a_dataset_is_refused(composed: Release, place: str) -> None:
    with pytest.raises(UsageError, match="names no dataset on the Hub"):
        send(composed, place)
