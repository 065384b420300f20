"""SSH signatures over SHA256SUMS, as `ssh-keygen -Y sign` makes them and `-Y verify` checks them.

Researchers have such keys, and OpenSSH signs and verifies without a line of ours.
"""

import base64
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builder.contract import CheckError, UsageError, printable
from builder.contract.record import read_bytes

NAMESPACE = "cxr-rebalance@dataset"
MAX_SIGNATURE = 1 << 16  # bytes, of a signature or a key

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


def sign(message: bytes, key: Path) -> bytes:
    """The armored signature of `message` by a key, as ssh-keygen makes it.

    `key` is a private key, or a public one (.pub) whose private half lies beside it, in an agent or
    on a security key. A passphrase is asked for on the terminal, if there is one. UsageError says
    why it cannot sign.
    """
    read_bytes(key, MAX_SIGNATURE)  # says so where there is none
    if not shutil.which("ssh-keygen"):
        raise UsageError(
            f"To sign by {key}, ssh-keygen is needed: install OpenSSH, such as by `apt-get install "
            "openssh-client`."
        )
    done = _ask(["sign", "-f", str(key), "-n", NAMESPACE], message)
    if done.returncode:
        raise UsageError(f"Cannot sign by {key}: {_why_unsigned(done.stderr, key)}.")
    return done.stdout


def check_signature(message: bytes, signature: bytes) -> str:
    """The public key, as OpenSSH writes it, that made the signature over `message`.

    CheckError where it is no such signature; that a stranger may have made it is not checked.
    """
    import sshsig

    public = _public_key(signature)
    try:
        sshsig.check_signature(message, signature, NAMESPACE)
    except NotImplementedError:  # a kind of key that it does not know, as of a security key
        _check_by_ssh_keygen(message, signature)
    except Exception as error:  # damaged bytes make sshsig raise nearly anything
        raise _refusal(str(error) or "it is damaged") from None
    kind = public[4 : 4 + int.from_bytes(public[:4])].decode(errors="replace")
    return f"{kind} {base64.b64encode(public).decode()}"


def check_signer(message: bytes, signature: bytes, allowed: Path) -> str:
    """Who signed `message`: a name in the allowed-signers file of OpenSSH.

    ssh-keygen decides where it is installed, so that every option of the file counts. CheckError
    where the signature is wrong, or by nobody in the file.
    """
    lines = read_bytes(allowed).decode(errors="replace").splitlines()
    if shutil.which("ssh-keygen"):
        return _signer_by_ssh_keygen(message, signature, allowed)
    public = check_signature(message, signature).split()[:2]
    for name, key in _plain_signers(lines):
        if key == public:
            return name
    raise _stranger(allowed)


def _why_unsigned(said: bytes, key: Path) -> str:
    """What ssh-keygen said, in one clause, with what to do."""
    private = str(key).removesuffix(".pub")
    if b"passphrase supplied" in said:
        return f"it is protected by a passphrase: run `ssh-add {private}` and give {private}.pub"
    if b"are too open" in said:
        return f"others can read {private}, so ssh does not use it: run `chmod 600 {private}`"
    if b"Couldn't load public key" in said:
        return "it is no key of OpenSSH: make one with `ssh-keygen -t ed25519`"
    return (
        f"ssh-keygen says {_last_line(said)}; is its private half in the agent? `ssh-add -l` lists "
        "those that are"
    )


def _check_by_ssh_keygen(message: bytes, signature: bytes) -> None:
    if not shutil.which("ssh-keygen"):
        raise _refusal("OpenSSH's ssh-keygen is needed to check a key of its kind: install OpenSSH")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "SHA256SUMS.sig"
        file.write_bytes(signature)
        done = _ask(["check-novalidate", "-n", NAMESPACE, "-s", str(file)], message)
    if done.returncode:
        raise _refusal(_last_line(done.stderr + done.stdout))


def _signer_by_ssh_keygen(message: bytes, signature: bytes, allowed: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "SHA256SUMS.sig"
        file.write_bytes(signature)
        common = ["-s", str(file), "-f", str(allowed), "-n", NAMESPACE]
        found = _ask(["find-principals", *common], message)
        names = found.stdout.decode(errors="replace").split()
        if found.returncode or not names:
            check_signature(message, signature)  # says so where the signature itself is wrong
            raise _stranger(allowed)
        if (done := _ask(["verify", "-I", names[0], *common], message)).returncode:
            raise _refusal(_last_line(done.stderr + done.stdout))
    return names[0]


def _ask(arguments: list[str], message: bytes) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", "-Y", *arguments]
    calm = {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}  # no window that nobody may see
    return subprocess.run(command, input=message, capture_output=True, check=False, env=calm)


def _plain_signers(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Name, and [type, key], of the lines without options; options need ssh-keygen."""
    for line in lines:
        parts = line.split()
        if len(parts) >= 3 and not line.startswith("#") and parts[1].startswith("ssh-"):
            yield parts[0].split(",")[0], parts[1:3]


def _stranger(allowed: Path) -> CheckError:
    return CheckError(
        f"SHA256SUMS.sig is a signature by nobody in {allowed}: ask the publisher for the public "
        "key, and trust the release only if it is theirs."
    )


def _refusal(why: str) -> CheckError:
    return CheckError(f"SHA256SUMS.sig is no valid signature of SHA256SUMS ({printable(why)}).")


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return printable(lines[-1]) if lines else "no reason given"


def _public_key(signature: bytes) -> bytes:
    """The public key in an armored signature; CheckError unless it is as ssh-keygen writes it."""
    try:
        text = signature.decode("ascii")
        blob = base64.b64decode("".join(text.splitlines()[1:-1]))
        version, parts = blob[:10], list(_strings(blob[10:]))
        public, _, reserved, _, _ = parts
    except (ValueError, struct.error):
        raise _refusal("it is cut or damaged") from None
    known = b"SSHSIG" + struct.pack(">I", 1)
    written = known + b"".join(map(_string, parts))
    if version != known or reserved or _wrapped(written) != signature:
        raise _refusal("it is not written as ssh-keygen writes it")
    return public


def _strings(data: bytes) -> Iterator[bytes]:
    """The strings that follow each other in a blob of OpenSSH."""
    place = 0
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        if place + 4 + size > len(data):
            raise ValueError("cut")
        yield data[place + 4 : place + 4 + size]
        place += 4 + size


def _wrapped(blob: bytes) -> bytes:
    """The armor of a signature, with lines of 70 characters as ssh-keygen has them."""
    text = base64.b64encode(blob).decode()
    lines = [text[i : i + 70] for i in range(0, len(text), 70)]
    return "\n".join([_BEGIN, *lines, _END, ""]).encode()


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
