"""Does fit-gan survive being killed?"""

from scene import holds

from builder.generators import load


def resumed(scene):
    """Killed after its first snapshot, resumed to the end, and the file renders."""
    side, kimg = (64, 2) if scene.gpu else (32, 0.2)
    out = scene.empty("gan")
    words = ["fit-gan", scene.demo(side), "--out", out / "gan.safetensors", "--resolution", side]
    words += ["--kimg", kimg, "--snapshot-kimg", kimg / 4, "--batch", 16, "--device", scene.device]
    if not scene.gpu:
        words += ["--fmap-base", 128]
    code = scene.stopped("xbuild", *words, at=lambda: any(out.glob("*.run/snapshot.pt")))
    scene.call("xbuild", *words)
    generator = load(str(out / "gan.safetensors"), side)
    yield holds(
        f"killed and resumed, {kimg:g} kimg at {side} px", generator.resolution == side,
        f"yes (exit code {code})",
    )  # fmt: skip
