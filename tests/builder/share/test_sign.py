import os
import select
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from builder.contract import CheckError, UsageError
from builder.share import sign as module
from builder.share.sign import NAMESPACE, check_signature, check_signer, sign

pytestmark = pytest.mark.usefixtures("ssh_keygen")

MESSAGE = b"0123  data/train-00000-of-00001.tar\n"
SIGNATURE = b"""-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgA6EHv/POEL4dcN0Y50vAmWfk1j
CbpQ1fHdyGZBJVMbgAAAAVY3hyLXJlYmFsYW5jZUBkYXRhc2V0AAAAAAAAAAZzaGE1MTIA
AABTAAAAC3NzaC1lZDI1NTE5AAAAQItLCoRkZGWt/u+st4AOQfEsBAh+0OdP92QGs5s3G2
pSf0xdpYwqiC2VOuX1w7XviI7ACN8jFUAHFPlUKbZOfQc=
-----END SSH SIGNATURE-----
"""  # of MESSAGE, by the key of `write_key`


def write_key(path: Path, key: object = None) -> tuple[Path, str]:
    """A private key of OpenSSH at `path`, and its public half as one line."""
    private = key or ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    path.write_bytes(
        private.private_bytes(  # type: ignore[attr-defined]
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        )
    )
    path.chmod(0o600)
    public = private.public_key().public_bytes(  # type: ignore[attr-defined]
        Encoding.OpenSSH, PublicFormat.OpenSSH
    )
    path.with_name(f"{path.name}.pub").write_bytes(public + b"\n")
    return path, public.decode()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_key(tmp_path / "id_ed25519")[0]


def run(*words: object, message: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*map(str, words)], input=message, capture_output=True, check=False)


def test_the_signature_is_ssh_keygens_own(key: Path, ssh_keygen: str) -> None:
    done = run(ssh_keygen, "-Y", "sign", "-f", key, "-n", NAMESPACE, message=MESSAGE)
    assert done.returncode == 0, done.stderr
    assert sign(MESSAGE, key) == done.stdout == SIGNATURE


def test_ssh_keygen_verifies_it(key: Path, ssh_keygen: str, tmp_path: Path) -> None:
    (tmp_path / "sig").write_bytes(sign(MESSAGE, key))
    (tmp_path / "allowed").write_text(f"anna@example.org {key.with_suffix('.pub').read_text()}")
    words = [ssh_keygen, "-Y", "verify", "-f", tmp_path / "allowed", "-I", "anna@example.org"]
    words += ["-n", NAMESPACE, "-s", tmp_path / "sig"]
    assert run(*words, message=MESSAGE).returncode == 0
    assert run(*words, message=MESSAGE + b" ").returncode != 0


def test_a_key_in_an_agent_signs_by_its_public_half(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        while not socket.exists():
            assert agent.poll() is None
        assert run("ssh-add", key, message=b"").returncode == 0
        expected = sign(MESSAGE, key)
        key.unlink()
        assert sign(MESSAGE, key.with_suffix(".pub")) == expected
        assert run("ssh-add", "-D", message=b"").returncode == 0
        with pytest.raises(UsageError, match=r"Cannot sign by .*: ssh-keygen says .*ssh-add -l"):
            sign(MESSAGE, key.with_suffix(".pub"))
    finally:
        agent.terminate()
        agent.wait()


def test_who_signed_is_told(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_key(tmp_path / "other", ed25519.Ed25519PrivateKey.generate())[1]
    own = key.with_suffix(".pub").read_text()
    allowed = tmp_path / "allowed"
    allowed.write_text(f"# publishers\n\nben@example.org {other}\nanna@example.org {own}")
    signature = sign(MESSAGE, key)
    for installed in (True, False):
        if not installed:
            monkeypatch.setattr(module.shutil, "which", lambda _: None)
        assert check_signer(MESSAGE, signature, allowed) == "anna@example.org"
        with pytest.raises(CheckError, match="no valid signature"):
            check_signer(MESSAGE + b" ", signature, allowed)
    allowed.write_text(f"ben@example.org {other}\n")
    with pytest.raises(CheckError, match="a signature by nobody in"):
        check_signer(MESSAGE, signature, allowed)


def test_the_options_of_an_allowed_signer_count(key: Path, tmp_path: Path) -> None:
    own = key.with_suffix(".pub").read_text()
    allowed = tmp_path / "allowed"
    allowed.write_text(f'anna@example.org valid-before="20200101" {own}')
    with pytest.raises(CheckError, match=r"SHA256SUMS\.sig"):
        check_signer(MESSAGE, sign(MESSAGE, key), allowed)
    allowed.write_text(f'anna@example.org namespaces="{NAMESPACE}" {own}')
    assert check_signer(MESSAGE, sign(MESSAGE, key), allowed) == "anna@example.org"


def test_the_public_key_of_a_signature_is_told(key: Path) -> None:
    assert (
        check_signature(MESSAGE, sign(MESSAGE, key)).split()[:2]
        == (key.with_suffix(".pub").read_text().split()[:2])
    )


def test_a_kind_of_key_that_only_openssh_knows(
    ssh_keygen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, public = write_key(tmp_path / "curve", ec.generate_private_key(ec.SECP256R1()))
    done = run(ssh_keygen, "-Y", "sign", "-f", key, "-n", NAMESPACE, message=MESSAGE)
    assert check_signature(MESSAGE, done.stdout) == " ".join(public.split()[:2])
    with pytest.raises(CheckError, match="no valid signature"):
        check_signature(MESSAGE + b" ", done.stdout)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    with pytest.raises(CheckError, match="OpenSSH's ssh-keygen is needed"):
        check_signature(MESSAGE, done.stdout)


@pytest.mark.parametrize("namespace", ["git", "cxr-rebalance@dataset "])
def test_a_signature_for_another_purpose_is_refused(
    key: Path, ssh_keygen: str, namespace: str
) -> None:
    done = run(ssh_keygen, "-Y", "sign", "-f", key, "-n", namespace, message=MESSAGE)
    with pytest.raises(CheckError, match="no valid signature"):
        check_signature(MESSAGE, done.stdout)


def test_every_flipped_byte_of_a_signature_is_found(key: Path) -> None:
    signature = sign(MESSAGE, key)
    for place in range(len(signature)):
        damaged = bytearray(signature)
        damaged[place] ^= 1
        with pytest.raises(CheckError, match=r"SHA256SUMS\.sig is no valid signature"):
            check_signature(MESSAGE, bytes(damaged))


@pytest.fixture
def locked(tmp_path: Path, ssh_keygen: str) -> Path:
    path = tmp_path / "locked"
    run(ssh_keygen, "-q", "-t", "ed25519", "-N", "secret", "-f", path, message=b"")
    return path


@pytest.mark.parametrize("ending", ["", ".pub"])
def test_a_locked_key_is_refused_with_advice_where_nobody_can_be_asked(
    locked: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = locked.with_name("window")  # which would wait for somebody
    window.write_text("#!/bin/sh\nsleep 60\n")
    window.chmod(0o700)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_ASKPASS", str(window))
    alone = partial(subprocess.run, start_new_session=True, timeout=5)
    monkeypatch.setattr(module.subprocess, "run", alone)
    with pytest.raises(UsageError, match=r"passphrase: run `ssh-add .*/locked` and give .*d\.pub"):
        sign(MESSAGE, Path(f"{locked}{ending}"))


ASK = """
import os, sys
from pathlib import Path
from builder.share.sign import sign
os.open(os.ttyname(0), os.O_RDWR)  # the terminal of this session from now on
Path(sys.argv[2]).write_bytes(sign(b"hello", Path(sys.argv[1])))
"""


def test_the_passphrase_is_asked_for_on_the_terminal(locked: Path) -> None:
    terminal, inner = os.openpty()
    signature = locked.with_name("signature")
    words = [sys.executable, "-c", ASK, str(locked), str(signature)]
    process = subprocess.Popen(
        words, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    )
    try:
        asked = b""
        while b"passphrase" not in asked:
            assert select.select([terminal], [], [], 20)[0], asked
            asked += os.read(terminal, 1000)
        os.write(terminal, b"secret\n")
        assert process.wait(timeout=20) == 0
        public = locked.with_suffix(".pub").read_text().split()[:2]
        assert check_signature(b"hello", signature.read_bytes()).split() == public
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        os.close(inner)


def test_a_key_that_others_can_read_is_refused_with_advice(key: Path) -> None:
    key.chmod(0o644)
    with pytest.raises(UsageError, match=r"others can read .*: run `chmod 600 .*id_ed25519`\.$"):
        sign(MESSAGE, key)


def test_what_is_no_key_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no key")
    with pytest.raises(UsageError, match=r"it is no key of OpenSSH: make one with `ssh-keygen -t"):
        sign(MESSAGE, tmp_path / "text")
    with pytest.raises(CheckError, match="Cannot read"):
        sign(MESSAGE, tmp_path / "absent")


def test_a_key_of_another_kind_signs(tmp_path: Path) -> None:
    key, public = write_key(tmp_path / "curve", ec.generate_private_key(ec.SECP256R1()))
    assert check_signature(MESSAGE, sign(MESSAGE, key)) == " ".join(public.split()[:2])


def test_signing_needs_openssh(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    for half in (key, key.with_suffix(".pub")):
        with pytest.raises(UsageError, match=r"ssh-keygen is needed: install OpenSSH, .*apt-get"):
            sign(MESSAGE, half)
