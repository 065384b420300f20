"""xbuild share, pull, info and diff as a user meets them."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.audit.summary import summarise
from builder.contract import load_manifest
from builder.contract.audit import Audit, write_audit

Xbuild = Callable[..., subprocess.CompletedProcess[str]]

SAID = [
    *("--license", "CC-BY-4.0", "--creator", "Chest Imaging Group", "--date", "2026-11-29"),
    *("--contact", "chest@example.org", "--intended-use", "Research."),
    *("--source-terms", "The images stay in the clinic."),
]


@pytest.fixture
def path(sealed_once: Path) -> Path:
    """The manifest of a small dataset that no test changes."""
    return sealed_once / "manifests" / "gan100.json"


def test_a_release_is_written_and_is_not_written_again(
    xbuild: Xbuild, path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gan100"
    done = xbuild("share", path, "--to", folder, *SAID)
    assert done.returncode == 0, done.stderr
    assert "60 real images are listed by a hash, and none of them leaves." in done.stdout
    digest = re.search(r"Shared gan100 in \S+ \(digest ([0-9a-f]{64})\)\.", done.stdout)
    assert digest is not None
    again = xbuild("share", path, "--to", folder, *SAID)
    assert again.returncode == 0, again.stderr
    assert "holds this release already" in again.stdout
    assert digest[1] in again.stdout
    other = xbuild("share", path, "--to", folder, *SAID, "--title", "Another")
    assert (other.returncode, "choose another --to" in other.stderr) == (2, True)


def test_a_dry_run_lists_what_would_leave_and_writes_nothing(
    xbuild: Xbuild, path: Path, tmp_path: Path
) -> None:
    done = xbuild("share", path, "--to", tmp_path / "x", *SAID, "--dry-run")
    assert done.returncode == 0, done.stderr
    sizes = dict(re.findall(r"^(\S+) +([\d,]+) bytes$", done.stdout, re.M))
    assert {"README.md", "real.parquet", "SHA256SUMS"} <= {*sizes}
    total = re.search(r"^in all +([\d,]+) bytes$", done.stdout, re.M)
    assert total is not None
    numbers = [int(size.replace(",", "")) for size in sizes.values()]
    assert sum(numbers) == int(total[1].replace(",", ""))
    assert done.stdout.endswith("Nothing was written.\n")
    assert not list(tmp_path.iterdir())


def test_a_config_a_key_and_a_table(
    xbuild: Xbuild, path: Path, sealed_once: Path, tmp_path: Path
) -> None:
    config = tmp_path / "release.toml"
    names = [word.removeprefix("--").replace("-", "_") for word in SAID[::2]]
    lines = [f'{name} = "{value}"\n' for name, value in zip(names, SAID[1::2], strict=True)]
    config.write_text("".join(lines))
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    table = sealed_once.parent / "clinic" / "labels.csv"
    words = ["share", path, "--to", tmp_path / "x", "--config", config, "--sign", key]
    done = xbuild(*words, "--labels", table, "--gated", "I agree.")
    assert done.returncode == 0, done.stderr
    assert "Note: Columns of patients in labels.csv: 'patient'; if another" in done.stderr
    assert (tmp_path / "x" / "SHA256SUMS.sig").is_file()
    assert 'extra_gated_prompt: "I agree."' in (tmp_path / "x" / "README.md").read_text()


def test_an_audit_whose_sentences_are_not_what_its_figures_say_is_refused(
    xbuild: Xbuild, path: Path, audit: Audit, tmp_path: Path
) -> None:
    digest = load_manifest(path).digest
    own = replace(audit, digest=digest, real=digest)
    own = replace(own, summary=summarise(own))
    assert own.copies is not None
    words = ["share", path, "--to", tmp_path / "x", *SAID, "--dry-run", "--audit"]
    for name, found, code in (
        ("right", own, 0),
        ("sentence", replace(own, summary=("Everything is perfect.", *own.summary[1:])), 1),
        ("count", replace(own, copies=replace(own.copies, suspects=0)), 1),
    ):
        write_audit(found, tmp_path / f"{name}.json")
        done = xbuild(*words, tmp_path / f"{name}.json")
        assert done.returncode == code, done.stderr
        assert ("is not what its figures say" in done.stderr) == (code == 1)
    assert len(done.stderr.splitlines()) == 1


def without(option: str) -> list[str]:
    place = SAID.index(option)
    return SAID[:place] + SAID[place + 2 :]


BAD = {
    "no licence": (without("--license"), 2, r"add --license \(the licence\), or write it in"),
    "nothing": ([], 2, "add --license .*--creator .*--contact .*--source-terms .*--date"),
    "unknown licence": ([*without("--license"), "--license", "mine"], 2, "licence 'mine' is unk"),
    "a store": ([*SAID, "--to", "ftp://a:b@c/x"], 2, "--to is 'ftp://c/x': give a folder, hf://"),
    "no dataset": ([*SAID, "--to", "hf://x"], 2, "'hf://x' names no dataset on the Hub"),
    "absent key": ([*SAID, "--sign", "absent"], 1, "Cannot read absent"),
    "absent config": (["--config", "absent.toml"], 1, "Cannot read absent.toml"),
    "absent table": ([*SAID, "--labels", "absent.csv"], 2, "Cannot read the table absent.csv"),
    "a path": ([*SAID, "--limitations", "See /home/anna/x."], 1, "README.md holds an absolute"),
    "absent shards": ([*SAID, "--shards-root", "absent"], 2, "are not under absent"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(
    xbuild: Xbuild, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words, code, message = BAD[case]
    done = xbuild("share", path, "--to", "x", *words)
    assert done.returncode == code, done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_real_images_are_not_shared(xbuild: Xbuild, clinic: Path, tmp_path: Path) -> None:
    words = ["--dataset", "table", "--labels", clinic, "--image-size", 32, "--workers", 1]
    words += ["--holdout", "0.1", "0.1"]
    packed = xbuild("pack", *words, "--out", tmp_path / "out")
    assert packed.returncode == 0, packed.stderr
    manifest = tmp_path / "out" / "manifests" / "real100.json"
    done = xbuild("share", manifest, "--to", tmp_path / "x", *SAID)
    assert (done.returncode, "real images are never shared" in done.stderr) == (2, True)
    assert not (tmp_path / "x").exists()
    info = xbuild("info", manifest)
    assert info.returncode == 0, info.stderr
    assert "real for training" in info.stdout


def test_a_release_is_verified_with_its_signature(
    xbuild: Xbuild, path: Path, tmp_path: Path
) -> None:
    key, folder = tmp_path / "key", tmp_path / "x"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"anna@example.org {key.with_suffix('.pub').read_text()}")
    words = ["verify", folder, "--allowed-signers", allowed]
    assert xbuild("share", path, "--to", folder, *SAID).returncode == 0
    unsigned = xbuild(*words)
    assert (unsigned.returncode, "SHA256SUMS.sig" in unsigned.stderr) == (1, True)
    assert xbuild("share", path, "--to", folder, *SAID, "--sign", key).returncode == 0
    done = xbuild(*words)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"OK: every file that \S+ lists is as .* signed by anna@example\.org\.", done.stdout
    )
    allowed.write_text("")
    stranger = xbuild(*words)
    assert (stranger.returncode, "by nobody in" in stranger.stderr) == (1, True)
    (folder / "README.md").write_text("changed")
    damaged = xbuild("verify", folder)
    assert (damaged.returncode, "README.md does not have" in damaged.stderr) == (1, True)
    assert damaged.stderr.endswith(": 1 fault.\n")
    (folder / "croissant.json").unlink()
    assert xbuild("verify", folder).stderr.endswith(": 2 faults.\n")
    manifest = xbuild("verify", path, "--allowed-signers", allowed)
    assert (manifest.returncode, "a manifest is unsigned" in manifest.stderr) == (2, True)
    nothing = xbuild("verify", tmp_path)
    assert (nothing.returncode, "is no release" in nothing.stderr) == (2, True)


def test_info_and_diff(xbuild: Xbuild, path: Path, tmp_path: Path) -> None:
    info = xbuild("info", path)
    assert info.returncode == 0, info.stderr
    assert info.stdout.startswith("dataset      gan100\n")
    same = xbuild("diff", path, path)
    assert (same.returncode, "Both are the same dataset" in same.stdout) == (0, True)
    other = tmp_path / "other.json"
    other.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    differs = xbuild("diff", path, other)
    assert differs.returncode == 0, differs.stderr
    assert "  --seed: 0 → 7" in differs.stdout.splitlines()


@pytest.mark.parametrize("words", [["info", "absent"], ["diff", "absent", "absent"]])
def test_what_is_not_there_is_one_sentence(xbuild: Xbuild, words: list[str]) -> None:
    done = xbuild(*words)
    assert (done.returncode, "Cannot read absent" in done.stderr) == (1, True)
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.fixture
def release(xbuild: Xbuild, path: Path, tmp_path: Path) -> Path:
    done = xbuild("share", path, "--to", tmp_path / "sent", *SAID)
    assert done.returncode == 0, done.stderr
    return tmp_path / "sent"


def test_a_release_is_pulled_and_the_next_command_is_told(
    xbuild: Xbuild, release: Path, path: Path, tmp_path: Path
) -> None:
    home, digest = tmp_path / "home", load_manifest(path).digest
    done = xbuild("pull", release, "--out", home, "--digest", digest.upper())
    assert (done.returncode, done.stderr) == (0, "")
    manifest = home / "manifests" / "gan100.json"
    assert done.stdout.splitlines() == [
        f"{home}: gan100 is here, every byte as it was shared (digest {digest}).",
        f"Next: xbuild rebuild {manifest} --labels YOUR-TABLE --root YOUR-IMAGES",
    ]
    again = xbuild("pull", release, "--out", home)
    assert again.returncode == 0
    assert "gan100 is here already, every byte" in again.stdout
    assert again.stderr.startswith("Note: neither --digest nor --allowed-signers says whose")
    assert len(again.stderr.splitlines()) == 1
    verified = xbuild("verify", home)
    assert verified.returncode == 0
    assert "shards is no part of the release, and may hold real images" in verified.stderr


BAD_PULLS = {
    "another dataset": (["--digest", "0" * 64], 1, "is not the release that you asked for"),
    "half a digest": (["--digest", "12ab"], 2, "--digest is '12ab': give the 64 letters and"),
    "unsigned": (["--allowed-signers", "allowed"], 1, r"SHA256SUMS\.sig is missing in"),
    "the folder itself": (["--out", "."], 2, "the folder that you are in: name a new one by --out"),
}


@pytest.mark.parametrize("case", BAD_PULLS)
def test_a_pull_that_is_refused_is_one_sentence_and_leaves_nothing(
    xbuild: Xbuild, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    words, code, message = BAD_PULLS[case]
    done = xbuild("pull", release, *words)
    assert done.returncode == code, done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(here.iterdir())


@pytest.mark.parametrize("source", ["absent", "hf://x", "ftp://x/y", "hf://datasets/a"])
def test_a_source_that_is_none_is_one_sentence(xbuild: Xbuild, source: str) -> None:
    done = xbuild("pull", source)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
