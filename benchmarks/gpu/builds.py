"""Does a build survive being killed, with the same bytes?"""

import hashlib

from scene import TARGETS, holds


def resumed(scene):
    """Killed after its first shard and resumed, by one worker and by two; then verified."""
    regime = 10 if scene.gpu else 1
    words = ["synth", "--dataset", "nih", "--real", "none", "--regime", regime, "--name", "nih"]
    words += [word for target in TARGETS for word in ("--target", target)]
    words += ["--shard-size", 512 if scene.gpu else 64]
    whole = scene.empty("whole")
    scene.call("xbuild", *words, "--out", whole, "--workers", 1)
    expected = sums(whole)
    for workers in (1, 2):
        out = scene.empty("killed")
        again = (*words, "--out", out, "--workers", workers)
        code = scene.stopped("xbuild", *again, at=lambda out=out: any(out.glob("shards/*/*.tar")))
        scene.call("xbuild", *again)
        line = f"killed and resumed by {workers} worker{'s' * (workers > 1)}: the same bytes"
        yield holds(line, sums(out) == expected, f"yes (exit code {code}, {len(expected)} files)")
        scene.call("xbuild", "verify", out / "manifests" / "nih.json")
        yield holds(f"xbuild verify after {workers}", True)


def sums(out):
    """The sha256 of every sealed file."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
