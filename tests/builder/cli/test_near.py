"""MANIFEST is a file or a URL; results go beside a file, and for a URL into the current folder."""

from pathlib import Path

import pytest

from builder.cli.near import bring_all, check_there, dataset_near, results_in, shown_place
from builder.contract import CheckError, UsageError, load_manifest

URL = "https://user:secret@host/manifests/a.json"


def test_results_of_a_url_go_into_the_current_folder() -> None:
    assert results_in(Path("a.json"), "audits", None) is None
    assert results_in(URL, "audits", None) == Path("audits")
    assert results_in(URL, "audits", Path("out")) == Path("out")


def test_messages_show_no_secrets() -> None:
    assert shown_place(Path("a.json")) == "a.json"
    assert shown_place(URL) == "https://host/manifests/a.json"


def test_shards_behind_a_url_lie_beside_their_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--shards-root"), dataset_near(URL, tmp_path):
        pass


def test_a_dataset_on_this_disk_must_be_whole(sealed: Path) -> None:
    manifest = load_manifest(sealed / "manifests" / "gan100.json")
    with dataset_near(sealed / "manifests" / "gan100.json") as here:
        check_there(here, manifest, None)
        bring_all(here, manifest)
        (sealed / manifest.shardlist[0].url).unlink()
        with pytest.raises(CheckError, match="1 of 8 shards"):
            check_there(here, manifest, None)
