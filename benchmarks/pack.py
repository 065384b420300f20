"""How fast real images are packed, beside reading the same files one by one.

    python benchmarks/pack.py                    # 20,000 JPEGs as small as CheXpert-small's
    python benchmarks/pack.py --kind dicom       # 12-bit DICOM of 2,500×2,048 pixels
    python benchmarks/pack.py --kind png16       # 16-bit PNG of that size

`xbuild pack` runs as a user runs it, from its start to the sealed dataset: every file is decoded,
cut to a square, reduced to 224 pixels, encoded, hashed and synced. The reader beside it is
torchxrayvision's dataset class with its crop and its resizer (scikit-image), as its users read
loose files, in one process and by a DataLoader of --workers; it writes nothing, and does the same
work again in every epoch. It reads no DICOM, and 16-bit PNG as PadChest's class does. Everything
is done with a quarter of the files, too: memory should not grow, and a command's start weighs less.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from memory import children, rss
from PIL import Image

SIDE = 224
SHARD = 500  # images; a process makes a whole shard, so that there should be many of them
SIZES = {"jpeg": (320, 390), "png16": (2500, 2048), "dicom": (2500, 2048)}
COUNTS = {"jpeg": 20_000, "png16": 600, "dicom": 600}
DISTINCT = {"jpeg": 500, "png16": 8, "dicom": 8}  # files that are made; the others are copies
COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Mass")


def draw(size, random):
    """float [H, W] in 0 to 1: smooth shapes and the noise of a film."""
    coarse = random.integers(0, 256, (12, 10), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.clip(np.asarray(smooth) / 255 + random.normal(0, 0.02, size), 0, 1)


def save_dicom(path, values):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = values.shape
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelRepresentation, made.WindowCenter, made.WindowWidth = 0, 2048, 4096
    made.PixelData = (values * 4095).astype("<u2").tobytes()
    made["PixelData"].VR = "OW"
    made.save_as(path, enforce_file_format=True)


def save(path, kind, values):
    if kind == "dicom":
        save_dicom(path, values)
    elif kind == "png16":
        Image.fromarray((values * 65535).astype(np.uint16)).save(path)
    else:
        Image.fromarray((values * 255).astype(np.uint8)).save(path, quality=92)


def make(folder, kind, count):
    """A table train.csv with CheXpert's columns, and its files, which are all different files."""
    suffix = {"jpeg": "jpg", "png16": "png", "dicom": "dcm"}[kind]
    random, contents = np.random.default_rng(0), []
    for _ in range(min(DISTINCT[kind], count)):
        save(folder / f"made.{suffix}", kind, draw(SIZES[kind], random))
        contents.append((folder / f"made.{suffix}").read_bytes())
    with (folder / "train.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for i in range(count):
            name = f"train/patient{i // 2 + 1:05d}/study{i % 2 + 1}/view1_frontal.{suffix}"
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(contents[i % len(contents)])
            rows.writerow([name, "Female", 50, "Frontal", "PA", i % 2, float(i % 9 == 0)])
    (folder / f"made.{suffix}").unlink()


def pack(folder, out, workers):
    """(seconds, peak of one process, peak of all) of `xbuild pack`, in bytes."""
    command = [
        *(Path(sys.executable).with_name("xbuild"), "pack", "--dataset", "table"),
        *("--labels", folder / "table.csv", "--root", folder, "--image-size", SIDE),
        *("--holdout", 0, 0, "--shard-size", SHARD, "--workers", workers, "--out", out),
    ]
    start, one, every = time.perf_counter(), 0, 0
    with (folder / "said").open("wb") as said:
        build = subprocess.Popen([*map(str, command)], stdout=said, stderr=said)
        while build.poll() is None:
            used = [*map(rss, children(build.pid))]
            one, every = max(one, *used), max(every, sum(used))
            time.sleep(0.05)
    seconds = time.perf_counter() - start
    if build.returncode:
        sys.exit((folder / "said").read_text())
    return seconds, one, every


def plain_table(folder):
    """The same table with the columns that `--dataset table` reads."""
    with (folder / "train.csv").open() as table, (folder / "table.csv").open("w") as plain:
        rows = csv.writer(plain)
        rows.writerow(["image", "patient", "view", "Mass"])
        for row in csv.DictReader(table):
            name = row["Path"]
            rows.writerow([name, name.split("/")[1], "PA", int(float(row["Mass"]))])


class Loose:
    """16-bit files as torchxrayvision's PadChest class reads them."""

    def __init__(self, folder, transform):
        self.files, self.transform = sorted(folder.rglob("*.png")), transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, number):
        from skimage.io import imread
        from torchxrayvision.datasets import normalize

        image = normalize(imread(self.files[number]), maxval=65535, reshape=True)
        return {"img": self.transform(image)}


def loose(folder, kind):
    """The dataset of torchxrayvision, as its users make it."""
    import torchvision
    import torchxrayvision as xrv

    steps = [xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(SIDE)]
    transform = torchvision.transforms.Compose(steps)
    if kind == "png16":
        return Loose(folder, transform)
    return xrv.datasets.CheX_Dataset(
        imgpath=str(folder),
        csvpath=str(folder / "train.csv"),
        views=["PA", "AP"],
        unique_patients=False,
        transform=transform,
    )


def read_loose(folder, kind, workers):
    """Seconds for every file once, in batches of 32, without the start of this process."""
    from torch.utils.data import DataLoader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = loose(folder, kind)
        start = time.perf_counter()
        loader = DataLoader(dataset, batch_size=32, num_workers=workers)
        count = sum(len(batch["img"]) for batch in loader)
    assert count == len(dataset)
    return time.perf_counter() - start


def measure(kind, count, workers):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(folder, kind, count)
        plain_table(folder)
        seconds, one, every = pack(folder, folder / "out", workers)
        print(
            f"{count:,} {kind}: xbuild pack {count / seconds:,.0f} images/s with {workers} workers,"
            f" peak {one / 1e6:,.0f} MB in one process, {every / 1e6:,.0f} MB in all"
        )
        for processes in (0, workers) if kind != "dicom" else ():
            theirs = read_loose(folder, kind, processes)
            who = f"{processes} processes" if processes else "one process"
            print(
                f"    torchxrayvision, {who}: {count / theirs:,.0f} images/s;"
                f" packing is {theirs / seconds:.1f} × as fast"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=sorted(SIZES), default="jpeg")
    parser.add_argument("--count", type=int, help="files; default: 20,000 JPEG, or 600 others")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    count = options.count or COUNTS[options.kind]
    for part in (count // 4, count):
        measure(options.kind, part, options.workers)


if __name__ == "__main__":
    main()
