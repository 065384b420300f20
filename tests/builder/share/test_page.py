"""docs/sharing.md, tried as a publisher and as a recipient, in two folders."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builder.share.publisher import field_names, read_publisher

PAGE = (Path(__file__).parents[3] / "docs/sharing.md").read_text()
PUBLISH, RECEIVE = PAGE.split("\n## Receive\n")
TOML = "".join(re.findall(r"```toml\n(.*?)```", PUBLISH, re.S))
ELSEWHERE = ("hf://", "s3://", "https://")  # other tests have servers for these
LONG = ("xtrain", "xbuild pack", "xbuild merge")  # other tests have the time for these


def commands(half: str) -> list[str]:
    """The command lines of a half of the page, as a reader with this dataset types them."""
    lines = "".join(re.findall(r"```bash\n(.*?)```", half, re.S)).splitlines()
    own = [line for line in lines if not any(word in line for word in ELSEWHERE)]
    mine = {
        "gan10": "gan100",
        "--root /data/CheXpert-v1.0-small": "--labels ../clinic/labels.csv --root ../clinic",
        "/media/disk/gan100": "../publisher/release/gan100",
    }
    for old, new in mine.items():
        own = [re.sub(rf"{old}\b", new, line) for line in own]
    return [line for line in own if not line.startswith(LONG)]


def run(lines: list[str], folder: Path, home: Path) -> str:
    """What the lines print, in one shell; all of them must succeed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(home), "PATH": path}
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_of_a_release_toml_is_right(tmp_path: Path) -> None:
    config = tmp_path / "release.toml"
    config.write_text(TOML)
    said = read_publisher({}, config)
    assert said.licence.id == "cc-by-nc-4.0"
    named = re.findall(r"^(\w+) = ", TOML, re.M)
    assert {*named} <= {*field_names()}
    needed = [*named[:4], "intended_use", "source_terms"]
    for name in named:
        config.write_text(re.sub(rf"^{name} = .*\n", "", TOML, flags=re.M))
        if name in needed:
            with pytest.raises(Exception, match=f"add --{name.replace('_', '-')}"):
                read_publisher({}, config)
        else:
            read_publisher({}, config)


def test_a_publisher_and_a_recipient_do_what_the_page_says(
    tmp_path: Path, sealed_once: Path, ssh_keygen: str
) -> None:
    publisher, recipient = tmp_path / "publisher", tmp_path / "recipient"
    anna, ben = tmp_path / "anna", tmp_path / "ben"
    shutil.copytree(sealed_once, publisher)
    shutil.copytree(sealed_once.parent / "clinic", tmp_path / "clinic")
    shutil.copy(tmp_path / "clinic" / "labels.csv", publisher)
    (publisher / "release.toml").write_text(TOML)
    for folder in (recipient, ben, anna / ".ssh"):
        folder.mkdir(parents=True)
    key = anna / ".ssh" / "id_ed25519"
    subprocess.run([ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    said = run(commands(PUBLISH), publisher, anna)
    assert said.count("Shared gan100 in release/gan100") == 1
    assert "Nothing was written." in said
    assert "OK: every file that release/gan100/SHA256SUMS lists is as it was shared" in said

    shutil.copy(publisher / "allowed_signers", recipient)
    lines = commands(RECEIVE)
    start = lines.index("cd gan100")
    said = run(lines[:start], recipient, ben)
    assert "gan100: gan100 is here, every byte as it was shared" in said
    said = run(lines[start : start + 3], recipient, ben)
    assert said.count(": OK\n") == len((recipient / "gan100/SHA256SUMS").read_text().splitlines())
    assert 'Good "cxr-rebalance@dataset" signature for anna@example.org' in said
    said = run(lines[start + 3 :], recipient, ben)
    assert "each with the sha256 that was sealed" in said
    manifest = recipient / "gan100" / "manifests" / "gan100.json"
    assert manifest.read_bytes() == (publisher / "manifests" / "gan100.json").read_bytes()


def test_every_share_of_the_page_searches_and_says_the_same() -> None:
    shares = re.findall(r"^xbuild share (.+)$", PUBLISH, re.M)
    own = r" --(to|sign) \S+| --dry-run"  # where it goes, and whether it does
    assert len(shares) == 4
    assert len({re.sub(own, "", line) for line in shares}) == 1
    assert "--labels labels.csv" in shares[0]
    assert "add `--generator-card gan.card.md` to every `xbuild share` of this page" in PUBLISH


def test_a_manifest_alone_is_enough(tmp_path: Path, sealed_once: Path) -> None:
    shutil.copytree(sealed_once.parent / "clinic", tmp_path / "clinic")
    shutil.copy(sealed_once / "manifests" / "gan100.json", tmp_path)
    line = "xbuild rebuild gan10.json --root IMAGES"
    assert line in PUBLISH
    own = line.replace("gan10", "gan100").replace("IMAGES", "clinic --labels clinic/labels.csv")
    assert "each with the sha256 that was sealed" in run([own], tmp_path, tmp_path)
