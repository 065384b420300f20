"""The options of a build are divided, and Ray is started only where it is asked for and there."""

from pathlib import Path

import pytest

from builder.cli import engines
from builder.cli.engines import divided, placed, working
from builder.contract import UsageError
from builder.engines.local import LocalEngine

HOW = {
    **{"out": Path("out"), "work": None, "workers": 2, "skip_bad": False},
    **{"engine": "local", "address": None},
}


def test_options_say_how_a_dataset_is_built_and_what_it_holds() -> None:
    how, what = divided({**HOW, "seed": 1, "regime": "10"})
    assert how == HOW
    assert what == {"seed": 1, "regime": "10"}


def test_the_engine_of_this_machine_needs_nothing() -> None:
    with working(HOW) as work:
        assert (work.out, work.workers, work.engine) == (Path("out"), 2, LocalEngine.of)
        assert work.destination is None


def test_a_url_has_a_folder_of_its_own_in_the_cache_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, place = placed("s3://bucket/one/", None)
    assert place is not None
    assert place.url == "s3://bucket/one"
    assert first.parent == tmp_path / "cxr-rebalance" / "builds"
    assert placed("s3://bucket/one", None)[0] == first
    assert placed("s3://bucket/two", None)[0] != first
    assert placed("s3://bucket/one", tmp_path)[0] == tmp_path


def test_a_folder_needs_no_work_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--work is for a URL as --out"):
        placed(tmp_path, tmp_path)


@pytest.mark.parametrize("url", ["https://host/a", "s3://", "s3://a::b", "ftp://a/b", "s3://a?b"])
def test_other_urls_are_no_places_to_build_into(url: str) -> None:
    with pytest.raises(UsageError, match="is no place to build into: give a folder, s3://"):
        placed(url, None)


def test_an_address_is_of_a_ray_cluster() -> None:
    with pytest.raises(UsageError, match="add --engine ray"), working({**HOW, "address": "auto"}):
        pass


def test_where_ray_is_not_installed_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="pip install"), working({**HOW, "engine": "ray"}):
        pass


def test_a_cluster_that_does_not_answer_is_said() -> None:
    pytest.importorskip("ray", reason="Ray, of the extra [ray], is not installed")
    asked = {**HOW, "engine": "ray", "address": "not an address"}
    with pytest.raises(UsageError, match="No Ray cluster answers at --address"), working(asked):
        pass
