from pathlib import Path
from typing import Any

import pytest

from builder.contract import UsageError
from builder.progress import progress
from builder.share import publish as module
from builder.share.publish import check_place, publish
from builder.share.release import Release


@pytest.mark.parametrize("place", ["out", "a/b", "hf://datasets/a/b", "s3://b/x", "gs://b/x"])
def test_places_to_publish_to(place: str) -> None:
    check_place(place)


@pytest.mark.parametrize("place", ["https://user:secret@example.org/x", "pipe://x", "a::b"])
def test_other_places_are_refused_without_their_secrets(place: str) -> None:
    with pytest.raises(UsageError, match=r"give a folder, hf://datasets/OWNER/NAME or") as refused:
        check_place(place)
    assert "secret" not in str(refused.value)


def test_a_folder_is_written(composed: Release, tmp_path: Path) -> None:
    place = str(tmp_path / "x")
    assert publish(composed, place, key=None, gated=False, progress=progress)
    assert not publish(composed, place, key=None, gated=False, progress=progress)


@pytest.mark.parametrize(
    ("place", "sender", "extra"),
    [
        ("hf://datasets/a/b", "send_to_hub", {"gated": True}),
        ("s3://b/x", "send_to_bucket", {}),
        ("gs://b/x", "send_to_bucket", {}),
    ],
)
def test_a_store_gets_what_it_needs(
    composed: Release,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    sender: str,
    extra: dict[str, bool],
) -> None:
    asked: list[Any] = []

    def send(release: Release, url: str, **words: Any) -> bool:
        asked.append((release.name, url, words))
        return True

    monkeypatch.setattr(module, sender, send)
    assert publish(composed, place, key=None, gated=True, progress=progress)
    assert asked == [
        ("gan100", place, {"signature": None, "progress": progress, **extra}),
    ]
