"""xbuild audit as a user meets it."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.audit.settings import Settings
from builder.cli.auditing import audit
from builder.contract import load_manifest
from builder.contract.audit import read_audit

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def test_every_setting_is_an_option_with_the_same_default() -> None:
    options = {option.name: option for option in audit.params}
    for field in fields(Settings):
        default = options[field.name].default
        assert float(default) == float(getattr(Settings(), field.name))


def test_record_and_page_lie_next_to_manifests(sealed: Path, xbuild: Xbuild) -> None:
    path = sealed / "manifests" / "gan100.json"
    manifests = sorted((sealed / "manifests").iterdir())
    done = xbuild("audit", path, "--resamples", 100, "--seed", 7, "--fewer-than", 3)
    assert done.returncode == 0, done.stderr
    found = read_audit(sealed / "audits" / "gan100.audit.json")
    assert found.digest == load_manifest(path).digest
    assert found.seed == 7
    chosen = {**asdict(Settings()), "resamples": 100, "seed": 7, "fewer_than": 3}
    assert found.settings == {name: float(value) for name, value in chosen.items()}
    page = (sealed / "audits" / "gan100.audit.html").read_text()
    assert "<h1>Audit of gan100</h1>" in page
    for sentence in found.summary:
        assert sentence in done.stdout
    assert [f"Note: {note}" for note in found.notes] == done.stderr.splitlines()
    assert sorted((sealed / "manifests").iterdir()) == manifests
    assert sorted(p.name for p in (sealed / "audits").iterdir()) == [
        "gan100.audit.html",
        "gan100.audit.json",
    ]


def test_what_cannot_be_audited_is_one_sentence(
    sealed: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    for words, code, said in (
        ((tmp_path / "none.json",), 1, "Cannot read"),
        ((sealed / "manifests" / "gan100.json", "--sources", sealed / "x.csv"), 2, "Cannot read"),
    ):
        done = xbuild("audit", *words)
        assert done.returncode == code
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert not (sealed / "audits").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--told", "nan"), "nan is not a number"),
        (("--agree", "nan"), "nan is not a number"),
        (("--accused", "nan"), "nan is not a number"),
        (("--told", "0.4"), "0.5<=x<=1"),
        (("--accused", "1"), "0<x<1"),
        (("--accused", "0"), "0<x<1"),
        (("--fewer-than", "99999999999999999999"), "1<=x<=100000"),
        (("--resamples", "99999999999"), "100<=x<=100000"),
    ],
)
def test_a_setting_that_is_out_of_range_is_refused_at_once(
    words: tuple[str, str], said: str
) -> None:
    done = CliRunner().invoke(audit, ["x.json", *words])
    assert done.exit_code == 2
    assert f"'{words[0]}'" in done.output
    assert said in done.output


def test_shards_that_are_not_here_are_named_with_what_to_do(
    sealed: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    path = sealed / "manifests" / "gan100.json"
    for words in ((path, "--shards-root", tmp_path), (path, "--real", path)):
        done = xbuild("audit", *words)
        assert done.returncode == 1, done.stderr
        assert f"shards of {path} are missing under" in done.stderr
        assert f"by --shards-root, or first xbuild rebuild {path}" in done.stderr
        shutil.rmtree(sealed / "shards", ignore_errors=True)
    assert not (sealed / "audits").exists()


def test_no_promise_is_made() -> None:
    page = Path(__file__).parents[3] / "docs" / "audit.md"
    for text in (CliRunner().invoke(audit, ["--help"]).output, page.read_text()):
        assert "shortcut" in text.casefold()
        assert "private" not in text.casefold()
        assert "anonym" not in text.casefold()
