"""Every command reads what it reads from a bucket, too, through all faults, or refuses a URL."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from builder.cli import cli
from trainer.cli import main

Given = Any  # of the fixture
Proxy = Any  # of the fixture
Run = Callable[..., Any]
Hashes = Callable[[Path], dict[str, str]]

URL = "s3://bucket/x.json"
GROUPS = {"xbuild": cli, "xtrain": main}
COMMANDS = {
    f"{program} {name}": command
    for program, group in GROUPS.items()
    for name, command in group.commands.items()
    if not command.hidden
}
# What each command that reads a dataset is tried with.
READS = {
    "xbuild verify": "{manifest}",
    "xbuild audit": "{manifest} --real {manifest} --sample 100 --resamples 100 --out audits",
    "xbuild view": "{manifest} --out gallery",
    "xbuild preview": "{manifest}",
    "xbuild info": "{manifest}",
    "xbuild diff": "{manifest} {manifest}",
    "xbuild share": "{manifest} --to release {said}",
    "xbuild pull": "{release} --out pulled",
    "xtrain fit": "--shards {manifest} --out run {training}",
    "xtrain sweep": "--shards {manifest} --out run {training}",
    "xtrain evaluate": "{run} --shards {manifest} --min-positives 1 --device cpu",
    "xtrain predict": "{run}/best.safetensors {manifest} --out scores.csv --device cpu",
    "xtrain cam": "{run}/best.safetensors {manifest} --out maps.png --device cpu",
    "xtrain experiment": "{manifest} --out runs --arm gan --seeds 1 {training}",
}
# The same with a part of it in the bucket.
PARTS = [
    ("xtrain fit", "--shards {local} --shards-root {root} --out run {training}"),
    ("xtrain fit", "--shards {local} --test {manifest} --out run {training}"),
    ("xtrain sweep", "--shards {local} --shards-root {root} --out run {training}"),
    ("xtrain evaluate", "{run} --shards-root {root} --test {manifest} --device cpu"),
    ("xtrain predict", "{run}/best.safetensors {local} --shards-root {root} --out a.csv"),
    ("xtrain cam", "{run}/best.safetensors {local} --shards-root {root} --out a.png"),
    (
        "xtrain experiment",
        "{local} --shards-root {root} --test {manifest} --out runs --arm none --seeds 1 {training}",
    ),
]
# Options that take a URL and read nothing: what is written is tried in test_synth.py and in
# tests/builder/share, the address of a page is printed, and a database is Optuna's.
OTHERS = {
    *(("xbuild pack", "out"), ("xbuild synth", "out"), ("xbuild seal", "out")),
    *(("xbuild share", "place"), ("xbuild share", "url"), ("xtrain sweep", "storage")),
}


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    for name, command in COMMANDS.items():
        yield from ((name, parameter) for parameter in command.params)


def takes_url(parameter: click.Parameter) -> bool:
    """Whether its help says so."""
    words = (parameter.metavar or "").upper()
    told = any(word in words for word in ("URL", "MANIFEST", "SRC"))
    return "url" in parameter.type.name or (parameter.type is click.STRING and told)


@pytest.mark.parametrize(
    ("command", "parameter"),
    [
        pytest.param(n, p, id=f"{n} {p.name}")
        for n, p in parameters()
        if isinstance(p.type, click.Path)
    ],
)
def test_a_path_is_never_a_url(command: str, parameter: click.Parameter) -> None:
    with pytest.raises(
        click.BadParameter, match=r"s3://bucket/x\.json is a URL, and a path on this"
    ):
        parameter.type.convert(URL, parameter, click.Context(COMMANDS[command]))


def test_every_place_of_a_dataset_is_tried(given: Given) -> None:
    tried = set()
    for name, template in (*READS.items(), *PARTS):
        words = given.words(template)
        params = COMMANDS[name].make_context(name, words, resilient_parsing=True).params
        for key, value in params.items():
            values = value if isinstance(value, tuple) else (value,)
            if any(str(each).startswith("s3://") for each in values):
                tried.add((name, key))
    assert tried == {(n, p.name) for n, p in parameters() if takes_url(p)} - OTHERS


# --- faults --------------------------------------------------------------------------------------

MANIFEST, INDEX, TAR, LIST = "gan100.json", "gan100.parquet", ".tar", "list-type=2"
# What passes: each of these once.
PASSING = [
    *[(MANIFEST, fault) for fault in ("500", "half", "other")],
    *[(INDEX, fault) for fault in ("503 SlowDown", "lost", "short")],
    *[
        (LIST, "503 SlowDown"),
        ("continuation-token", "500"),
        ("SHA256SUMS.sig", "403 AccessDenied"),
    ],
    *[(TAR, fault) for fault in ("500", "503 SlowDown", "lost", "half", "short", "other")],
]
LOST = "9 attempts failed, the last one with {}; check the network and start again"
REFUSED = "access is refused; set AWS_PROFILE"
# What stays: what is asked for, what goes wrong each time, and what is said.
STAYING = [
    (MANIFEST, "500", LOST.format("500")),
    (MANIFEST, "404 NoSuchKey", r"Cannot fetch manifests/gan100\.json from s3://.*not there"),
    (MANIFEST, "403 AccessDenied", REFUSED),
    (
        MANIFEST,
        "400 InvalidToken",
        "the server answers 400 InvalidToken; check the URL, the region",
    ),
    (MANIFEST, "other", r"manifests/gan100\.json"),
    (INDEX, "404 NoSuchKey", r"Cannot fetch manifests/gan100\.parquet from s3://"),
    (INDEX, "other", r"The file manifests/gan100\.parquet at s3://\S+ is not the sealed one"),
    (LIST, "500", LOST.format("500")),
    (TAR, "500", LOST.format("500")),
    (TAR, "503 SlowDown", LOST.format("503 SlowDown")),
    (TAR, "half", LOST.format(r"\w+")),
    (TAR, "short", LOST.format("too few bytes")),
    (TAR, "other", r"\.tar at s3://\S+ is not the sealed one: its sha256 differs"),
    (TAR, "404 NoSuchKey", r"Cannot fetch \S+\.tar from s3://.*not there"),
    (TAR, "403 AccessDenied", REFUSED),
]
NEVER_ASKED = {
    *[(command, path) for command in ("xbuild info", "xbuild diff") for path in (TAR, LIST)],
    *[("xbuild verify", LIST), ("xbuild pull", INDEX)],
}
TELL_MORE = ("xbuild verify", "xtrain experiment")  # each fault of a dataset; each run that failed
QUICK = ("xbuild verify", "xbuild preview")
# Names of files that say where a run read, or when.
OWN = {
    *("config.json", "last.pt", "timing.csv", ".lock", "sweep.csv", "sweep.json", "sweep.journal"),
    *("sweep.md", "report.json", "report.md", "report.html", "report.tex"),
}


def trial(command: str, *values: str) -> Any:
    """The trial, for `make long` alone where it takes long."""
    marks = () if command in QUICK else (pytest.mark.slow, pytest.mark.long)
    return pytest.param(command, *values, marks=marks, id=" ".join((command, *values[:2])))


@pytest.fixture
def run(
    given: Given,
    proxy: Proxy,
    xbuild: Run,
    xtrain: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Run:
    """A command about the dataset in the bucket, or at a place; it has a folder and a run."""
    assert proxy.port

    def ended(command: str, template: str, place: str | Path = "") -> Any:
        folder = tmp_path / ("near" if place else "far")
        folder.mkdir()
        monkeypatch.chdir(folder)
        if "{run}" in template:
            trained = request.getfixturevalue("trained")
            shutil.copytree(trained, folder.with_suffix(".run"), copy_function=os.link)
        words = given.words(template, place, folder.with_suffix(".run"))
        program, name = command.split()
        return {"xbuild": xbuild, "xtrain": xtrain}[program](name, *words)

    return ended


@pytest.mark.parametrize(
    ("command", "template"), [trial(*each) for each in (*READS.items(), *PARTS)]
)
def test_faults_that_pass_change_no_byte(
    command: str,
    template: str,
    run: Run,
    proxy: Proxy,
    given: Given,
    hashes: Hashes,
    tmp_path: Path,
) -> None:
    def results(name: str) -> dict[str, str]:
        found = hashes(tmp_path / name) | hashes(tmp_path / f"{name}.run")
        return {
            path: sha
            for path, sha in found.items()
            if Path(path).name not in OWN and not ("external/" in path and path.endswith(".json"))
        }

    proxy.page = 2
    proxy.faults = [("GET", *each) for each in PASSING if (command, each[0]) not in NEVER_ASKED]
    done = run(command, template)
    assert done.returncode == 0, done.stderr
    assert not [fault for fault in proxy.faults if fault[1] == TAR]
    assert run(command, template, given.here).returncode == 0
    assert results("far") == results("near")


@pytest.mark.parametrize(
    ("command", "path", "fault", "said"),
    [trial(c, *each) for c in READS for each in STAYING if (c, each[0]) not in NEVER_ASKED],
)
def test_a_fault_that_stays_is_one_sentence_and_leaves_nothing(
    command: str,
    path: str,
    fault: str,
    said: str,
    run: Run,
    proxy: Proxy,
    hashes: Hashes,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    proxy.faults = [("GET", path, fault)] * 999
    done = run(command, READS[command])
    assert done.returncode == 1
    assert re.search(said, done.stderr)
    *more, last = done.stderr.splitlines()
    assert last.startswith("Error: ")
    assert not more or command in TELL_MORE
    assert "near-" not in done.stderr  # a name of ours
    left = {each.name for each in (tmp_path / "far").iterdir()}
    assert left <= {".pulled.partial", "runs"}  # which the same command resumes
    assert not [*(tmp_path / "cache").rglob("near-*")]
    if (copy := tmp_path / "far.run").is_dir():
        assert hashes(copy) == hashes(request.getfixturevalue("trained"))
