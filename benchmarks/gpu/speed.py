"""How fast it is: the other benchmarks, with what they print."""

from scene import Finding, not_run

from builder.contract.cores import usable_cores


def rendering(scene):
    """The pipeline, the forward pass alone and the paper's way; the host alone."""
    host = scene.script("render.py", "--generator", "free", "--image-size", 224,
                        "--images", 8192 if scene.gpu else 2048)  # fmt: skip
    yield Finding(line="render.py --generator free: the host alone", found=host)
    if not scene.gpu:
        few = scene.script("render.py", "--generator", "nih64", "--resolution", 64,
                           "--images", 256, "--repeats", 1)  # fmt: skip
        yield Finding(line="render.py --generator nih64, on the CPU", found=few)
    for precision in ("fp32", "tf32", "bf16"):
        line = f"render.py --image-size 224 --images 8192 --precision {precision}"
        if not scene.gpu:
            yield not_run(line)
            continue
        words = line.split()
        yield Finding(line=line, found=scene.script(words[0], *words[1:]))


def fitting(scene):
    """A step of xtrain beside the paper's loop, and how long it waits for data."""
    sizes = ((32, 3200), (64, 3200)) if scene.gpu else ((8, 32),)
    for batch, images in sizes:
        words = ["--batch", batch, "--images", images, "--device", scene.device]
        words += ["--workers", min(usable_cores(), 16)]
        if not scene.gpu:
            words += ["--repeats", 1]
        yield Finding(line=f"fit.py, batches of {batch}", found=scene.script("fit.py", *words))
    if not scene.gpu:
        yield not_run("fit.py, batches of 32 and 64 on a GPU, in bf16 too")


def gans(scene):
    """Images a second of fit-gan, and the hours for 500 kimg."""
    sides = (64, 128, 256) if scene.gpu else (32,)
    words = [word for side in sides for word in ("--resolution", side)]
    networks, repeats = ("default", 5) if scene.gpu else ("small", 1)
    words += ["--networks", networks, "--repeats", repeats]
    found = scene.script("fitgan.py", *words, "--device", scene.device)
    yield Finding(line=f"fitgan.py at {', '.join(map(str, sides))} px", found=found)
    if not scene.gpu:
        yield not_run("fitgan.py at 64, 128 and 256 px on a GPU")
