"""How fast pixels become sealed shards: our writer, its limits, and other writers.

    python benchmarks/write.py --images ../shared/data/nih1k_224

Every contender writes the same 224×224 images, in turns, --repeats times; figures are medians.
`write_shard` is ours: encode, tar, sha256, .idx, fsync, rename. The others neither hash nor sync.
To see cv2 and MosaicML as well, install opencv-python-headless and mosaicml-streaming (it needs an
older NumPy: use another venv). img2dataset writes with webdataset, cv2 and a parquet file.
"""

import argparse
import io
import multiprocessing
import statistics
import tempfile
import time
from functools import cache, partial
from pathlib import Path

import numpy as np
import simplejpeg
import webdataset
from PIL import Image

from builder.contract import ImageSpec, Sample
from builder.contract.cores import usable_cores
from builder.recipe import Layout
from builder.render import Picture
from builder.write import ShardJob, write_shard
from builder.write.encode import encode

PATHOLOGIES = tuple(f"pathology {i}" for i in range(14))


@cache  # samples are there before anybody writes
def sample(i):
    return Sample(
        key=f"bench-{i:07d}",
        split="train",
        origin="synthetic",
        target="pathology 0",
        draw=i,
        patient="",
        labels=(1,) + (0,) * 13,
    )


class Painter:
    """Pictures of images that exist already."""

    redraws = None

    def __init__(self, images):
        self.images = images

    def produce(self, samples):
        return (Picture(sample=s, pixels=i) for s, i in zip(samples, self.images, strict=True))


def jpeg(image, quality=95):
    return simplejpeg.encode_jpeg(
        image[:, :, None], quality=quality, colorspace="GRAY", colorsubsampling="Gray"
    )


def pillow(image, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def product(codec, images, folder):
    """`write_shard`."""
    side = images.shape[1]
    spec = ImageSpec(height=side, width=side, codec=codec, quality=95 if codec == "jpg" else 0)

    job = ShardJob(
        layout=Layout(root=folder, pathologies=PATHOLOGIES, image=spec),
        url="shards/bench/train-00000-of-00001.tar",
        samples=tuple(sample(i) for i in range(len(images))),
        painter=Painter(images),
    )
    return write_shard(job).entry.filesize


def encode_only(images, folder):  # noqa: ARG001 — every contender is called so
    return sum(len(jpeg(image)) for image in images)


def encode_and_write(images, folder):
    with (folder / "raw").open("wb", buffering=1 << 20) as file:
        for image in images:
            file.write(jpeg(image))
        return file.tell()


def sharded(name, encoder, images, folder):
    """webdataset's ShardWriter with this encoder; None is its default for `name`."""
    pattern = str(folder / "wds-%05d.tar")
    with webdataset.ShardWriter(pattern, maxcount=10**6, verbose=0) as writer:
        for i, image in enumerate(images):
            record = sample(i).to_json(PATHOLOGIES)
            body = encoder(image) if encoder else image
            writer.write({"__key__": f"{i:07d}", name: body, "json": record})
    return sum(path.stat().st_size for path in folder.glob("wds-*.tar"))


def mosaic(images, folder):
    from streaming import MDSWriter

    columns = {"image": "bytes", "json": "bytes"}
    with MDSWriter(out=str(folder / "mds"), columns=columns) as writer:
        for i, image in enumerate(images):
            writer.write({"image": jpeg(image), "json": sample(i).to_json(PATHOLOGIES)})
    return sum(path.stat().st_size for path in (folder / "mds").iterdir())


def cv2_jpeg(image):
    import cv2

    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def contenders():
    found = {
        "limit: simplejpeg q95 alone": encode_only,
        "limit: encode and write the bytes": encode_and_write,
        "write_shard, jpg q95": partial(product, "jpg"),
        "write_shard, png": partial(product, "png"),
        "webdataset + simplejpeg q95": partial(sharded, "jpg", jpeg),
        "webdataset + Pillow q95": partial(
            sharded, "jpg", partial(pillow, kind="JPEG", quality=95)
        ),
        "webdataset, its jpg default": partial(sharded, "jpg", None),
        "webdataset, its png default": partial(sharded, "png", None),
    }
    try:
        import cv2  # noqa: F401

        found["webdataset + cv2 q95, as img2dataset's"] = partial(sharded, "jpg", cv2_jpeg)
    except ImportError:
        print("(cv2 is not installed: its contender is left out)")
    try:
        import streaming  # noqa: F401

        found["MosaicML MDSWriter + simplejpeg q95"] = mosaic
    except ImportError:
        print("(mosaicml-streaming is not installed: MDSWriter is left out)")
    return found


def rate(function, images):
    """(images/s, bytes per image)."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        size = function(images, Path(folder))
        return len(images) / (time.perf_counter() - begin), size / len(images)


def parallel_rate(function, images, processes):
    """images/s of several processes at once."""
    context = multiprocessing.get_context("fork")
    ready, done = context.Barrier(processes + 1), context.Barrier(processes + 1)

    def work():
        with tempfile.TemporaryDirectory() as folder:
            ready.wait()
            function(images, Path(folder))
            done.wait()

    workers = [context.Process(target=work) for _ in range(processes)]
    for worker in workers:
        worker.start()
    ready.wait()
    begin = time.perf_counter()
    done.wait()
    seconds = time.perf_counter() - begin
    for worker in workers:
        worker.join()
    return processes * len(images) / seconds


def load(folder, count):
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    real = np.stack([np.asarray(Image.open(file).convert("L")) for file in files])
    return real[np.arange(count) % len(real)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    images = load(options.images, options.count)
    spec = ImageSpec(height=images.shape[1], width=images.shape[2], codec="png", quality=0)
    assert len(encode(images[0], spec)) < spec.max_bytes
    found = contenders()
    cores = usable_cores()
    alone, parallel, sizes = ({name: [] for name in found} for _ in range(3))
    for _ in range(options.repeats):
        for name, function in found.items():
            few = images[: 200 if "png default" in name else None]
            speed, size = rate(function, few)
            alone[name].append(speed)
            sizes[name].append(size)
            parallel[name].append(parallel_rate(function, few, cores))
    limit = statistics.median(alone["limit: encode and write the bytes"])
    print(f"| writer | images/s | × encode and write | {cores} processes | bytes/image |")
    print("|---|---:|---:|---:|---:|")
    for name in found:
        one, many = statistics.median(alone[name]), statistics.median(parallel[name])
        size = statistics.median(sizes[name])
        print(f"| {name} | {one:,.0f} | {one / limit:.2f} | {many:,.0f} | {size:,.0f} |")


if __name__ == "__main__":
    main()
