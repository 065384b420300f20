"""The options of a build are divided, and Ray is started only where it is asked for and there."""

from pathlib import Path

import pytest

from builder.cli import engines
from builder.cli.engines import divided, working
from builder.contract import UsageError
from builder.engines.local import LocalEngine

HOW = {"out": Path("out"), "workers": 2, "skip_bad": False, "engine": "local", "address": None}


def test_options_say_how_a_dataset_is_built_and_what_it_holds() -> None:
    how, what = divided({**HOW, "seed": 1, "regime": "10"})
    assert how == HOW
    assert what == {"seed": 1, "regime": "10"}


def test_the_engine_of_this_machine_needs_nothing() -> None:
    with working(HOW) as work:
        assert (work.out, work.workers, work.engine) == (Path("out"), 2, LocalEngine.of)


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
