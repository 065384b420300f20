"""Other people's data loaders on the same images, each as its documentation shows it.

`stream.py` starts this file with the interpreter named by --peers, and asks for one pass at a time.
A worker stays alive, so imports are not timed, and its contender waits while others run. This file
does not import builder or trainer, because several of these loaders need other versions of NumPy.

Each image has a number, and each contender yields labels that spell the number in binary (or the
number itself). So every pass can prove which images came, how often and in what order.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 64
WORKERS = 2
BITS = tuple(f"bit {i}" for i in range(17))  # the labels: numbers up to 131,071


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is read: the folder that `stream.py` has filled."""

    folder: str
    codec: str
    count: int
    side: int

    def tars(self, dataset: str, origin: str = "*") -> list[str]:
        """The shards of a sealed dataset."""
        found = Path(self.folder, dataset, "shards").glob(f"{origin}/*.tar")
        return sorted(map(str, found))

    def image(self, size: str, number: int) -> Path:
        """A loose file, in CheXpert's folders; `size` is 224 or chexpert."""
        patient = f"train/patient{number:06d}/study1/view1_frontal.{self.codec}"
        return Path(self.folder, "loose", size, patient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one epoch showed."""

    images: int
    seconds: float
    kind: str  # what the trainer gets: type and channels
    missing: int = 0
    repeated: int = 0
    moved: float = -1.0  # mean distance from the sealed place; 1 = as in a full shuffle


Run = Callable[[], Pass]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A loader: `start` opens it and returns a function for one pass.

    Contenders of one `family` share a process.
    """

    start: Callable[[Work], Run]
    family: str
    shuffle: str
    checks: str
    package: str = ""  # whose version is shown
    cores: int = WORKERS
    codecs: tuple[str, ...] = ("jpg", "png")
    peers: bool = False  # runs in the peers' interpreter


# --- one pass ------------------------------------------------------------------------------------


def timed(work: Work, epoch: Callable[[], Iterable[tuple[Any, Any]]]) -> Pass:
    """A pass over batches of images [B, (C,) H, W] with labels [B, L], or numbers [B]."""
    seen, images, kind = [], 0, ""
    begin = time.perf_counter()
    for pictures, labels in epoch():
        size, *channels, height, width = pictures.shape
        assert height == width == work.side, f"the images are {height} × {width} pixels"
        seen.append(np.array(labels))  # a copy: a tensor of a worker keeps a file open
        images += size
        kind = f"{str(pictures.dtype).removeprefix('torch.')}, {(*channels, 1)[0]} ch."
    seconds = time.perf_counter() - begin
    return Pass(images=images, seconds=seconds, kind=kind, **coverage(work, seen))


def coverage(work: Work, seen: list[np.ndarray]) -> dict[str, float]:
    """Which images came, and how far from their sealed place."""
    labels = np.concatenate(seen)
    numbers = labels if labels.ndim == 1 else labels[:, : len(BITS)] @ (1 << np.arange(len(BITS)))
    numbers = numbers.astype(np.int64)
    times = np.bincount(numbers, minlength=work.count)
    way = np.abs(np.arange(len(numbers)) - numbers).mean() / (work.count / 3)
    return {
        "missing": int((times == 0).sum()),
        "repeated": int(np.maximum(times - 1, 0).sum()),
        "moved": float(way),
    }


def spelled(number: int) -> np.ndarray:
    """float32 [L]: the labels of an image."""
    return (number >> np.arange(len(BITS)) & 1).astype(np.float32)


def loader(dataset: Any, **options: Any) -> Any:
    """torch's DataLoader with what all contenders share."""
    from torch.utils.data import DataLoader

    return DataLoader(dataset, **({"batch_size": BATCH, "num_workers": WORKERS} | options))


def simple(data: bytes) -> Any:
    """uint8 [1, H, W] by our own decoder: what is left is the peer's own cost."""
    import simplejpeg
    import torch

    return torch.from_numpy(simplejpeg.decode_jpeg(data, "GRAY")).permute(2, 0, 1)


# --- webdataset ----------------------------------------------------------------------------------


def told(sample: tuple[Any, dict[str, Any]]) -> tuple[Any, np.ndarray]:
    """The image and its labels from the JSON member."""
    image, record = sample
    return image, np.fromiter(record["labels"].values(), np.float32)


def webdataset_pipe(work: Work, decode: Any, tars: list[str], finish: Any = told) -> Any:
    import webdataset

    return (
        webdataset.WebDataset(tars, shardshuffle=100)
        .shuffle(1000)
        .decode(decode)
        .to_tuple(work.codec, "json")
        .map(finish)
    )


def webdataset_loader(work: Work, *, decode: str) -> Run:
    """The pipeline of its documentation; images become grey floats or RGB, or we decode them."""
    import webdataset
    from torchvision.transforms.functional import to_tensor

    def finish(sample: tuple[Any, dict[str, Any]]) -> tuple[Any, np.ndarray]:
        image, labels = told(sample)
        return (to_tensor(image) if decode == "pil" else image), labels

    how = webdataset.handle_extension("jpg", simple) if decode == "simplejpeg" else decode
    batched = webdataset_pipe(work, how, work.tars("one"), finish).batched(BATCH)
    batches = webdataset.WebLoader(batched, batch_size=None, num_workers=WORKERS)
    return partial(timed, work, lambda: batches)


def webdataset_mix(work: Work) -> Run:
    """Both origins with equal probability; without `longest` it stops where the first one ends."""
    import webdataset

    pipes = [webdataset_pipe(work, "torchl", work.tars("two", o)) for o in ("real", "synthetic")]
    mix = webdataset.RandomMix(pipes, [0.5, 0.5], longest=True)
    batches = webdataset.WebLoader(mix, batch_size=BATCH, num_workers=WORKERS)
    return partial(timed, work, lambda: batches)


# --- loose files, and Hugging Face ---------------------------------------------------------------


def torchxrayvision(work: Work, *, size: str) -> Run:
    """Its CheX_Dataset on a table and folders like CheXpert's, with the paper's two transforms."""
    import warnings

    import torchxrayvision as xrv
    from torchvision.transforms import Compose

    warnings.simplefilter("ignore")
    root = Path(work.folder, "loose", size)
    dataset = xrv.datasets.CheX_Dataset(
        imgpath=str(root),
        csvpath=str(root / "train.csv"),
        transform=Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(work.side)]),
        unique_patients=False,
    )
    batches = loader(dataset, shuffle=True)
    return partial(timed, work, lambda: ((batch["img"], batch["idx"]) for batch in batches))


def image_folder(work: Work) -> Run:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, Grayscale, ToTensor

    root = Path(work.folder, "loose/224/train")  # a folder, hence a class, for each image
    batches = loader(ImageFolder(str(root), Compose([Grayscale(), ToTensor()])), shuffle=True)
    return partial(timed, work, lambda: batches)


def hugging_face(work: Work) -> Run:
    import datasets
    from torchvision.transforms.functional import pil_to_tensor

    def tensors(sample: dict[str, Any]) -> dict[str, Any]:
        labels = told((None, sample["json"]))[1]
        return {"image": pil_to_tensor(sample[work.codec]), "labels": labels}

    files = {"train": work.tars("one")}
    stream = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=True)
    columns = [work.codec, "json", "__key__", "__url__"]
    stream = stream.shuffle(buffer_size=1000).map(tensors, remove_columns=columns)
    batches, epochs = loader(stream.with_format("torch")), count()

    def epoch() -> Iterable[tuple[Any, Any]]:
        stream.set_epoch(next(epochs))
        return ((batch["image"], batch["labels"]) for batch in batches)

    return partial(timed, work, epoch)


# --- MosaicML Streaming, LitData -----------------------------------------------------------------


def mosaic_written(work: Work, column: str) -> str:
    """The folder of an MDS dataset with the same files, written once."""
    from PIL import Image
    from streaming import MDSWriter

    out = Path(work.folder, f"mds-{column}")
    if not out.exists():
        columns = {"image": column, "labels": f"ndarray:float32:{len(BITS)}"}
        with MDSWriter(out=str(out), columns=columns) as writer:
            for number in range(work.count):
                file = work.image("224", number)
                image = file.read_bytes() if column == "bytes" else Image.open(file)
                writer.write({"image": image, "labels": spelled(number)})
    return str(out)


def mosaic(work: Work, *, fast: bool) -> Run:
    from streaming import StreamingDataset
    from torchvision.transforms.functional import to_tensor

    class Radiographs(StreamingDataset):
        def __getitem__(self, number: int) -> tuple[Any, np.ndarray]:
            sample = super().__getitem__(number)
            image = sample["image"]
            return (simple(image) if fast else to_tensor(image)), sample["labels"]

    column = "bytes" if fast else {"jpg": "jpeg", "png": "png"}[work.codec]
    local = mosaic_written(work, column)
    batches = loader(Radiographs(local=local, shuffle=True, batch_size=BATCH))
    return partial(timed, work, lambda: batches)


def lit_sample(number: int, *, work: Work, fast: bool) -> dict[str, Any]:
    """A sample as LitData stores it: the file's bytes either way."""
    import litdata
    from PIL import Image

    file = work.image("224", number)
    if fast:
        image = file.read_bytes()
    else:  # a PNG that Pillow opened would be stored as pixels
        image = Image.open(file) if work.codec == "jpg" else litdata.Image(path=str(file))
    return {"image": image, "labels": spelled(number)}


def lit_decoded(sample: dict[str, Any], *, fast: bool, floats: bool) -> tuple[Any, np.ndarray]:
    image = simple(sample["image"]) if fast else sample["image"]
    return (image.float().div(255) if floats else image), sample["labels"]


def litdata(work: Work, *, workers: int, fast: bool = False, floats: bool = False) -> Run:
    import litdata

    # A folder for each number of workers: without any it waits 10 s where others have read before.
    out = Path(work.folder, f"litdata-{'bytes' if fast else 'images'}-{workers}")
    if not out.exists():
        litdata.optimize(
            fn=partial(lit_sample, work=work, fast=fast),
            inputs=list(range(work.count)),
            output_dir=str(out),
            chunk_bytes="64MB",
            num_workers=1,
            keep_data_ordered=True,
            start_method="fork",  # it stays set: its loader's workers would be spawned otherwise
            verbose=False,
        )
    decode = partial(lit_decoded, fast=fast, floats=floats)
    dataset = litdata.StreamingDataset(str(out), shuffle=True, transform=decode)
    batches = litdata.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=workers)
    return partial(timed, work, lambda: batches)


# --- DALI ----------------------------------------------------------------------------------------


def dali(work: Work, *, floats: bool) -> Run:
    """Its CPU pipeline; it reads our shards by their .idx files."""
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

    tars = work.tars("one")

    @pipeline_def(batch_size=BATCH, num_threads=WORKERS, device_id=None)
    def pipeline() -> tuple[Any, Any]:
        files, record = fn.readers.webdataset(
            paths=tars,
            index_paths=[str(Path(tar).with_suffix(".idx")) for tar in tars],
            ext=[work.codec, "json"],
            missing_component_behavior="error",
            random_shuffle=True,
            initial_fill=1000,
            name="reader",
        )
        images = fn.decoders.image(files, device="cpu", output_type=types.GRAY)
        if floats:
            images = fn.crop_mirror_normalize(images, dtype=types.FLOAT, output_layout="HWC")
        return images, fn.pad(record, fill_value=ord(" "))

    def labels(records: Any) -> np.ndarray:
        return np.stack([told((None, json.loads(row.tobytes())))[1] for row in records.numpy()])

    def epoch(batches: Any) -> Iterable[tuple[Any, Any]]:
        for (batch,) in batches:
            yield batch["images"].permute(0, 3, 1, 2), labels(batch["records"])

    def run() -> Pass:
        """A new pipeline: an idle one would decode the first batches of the next epoch."""
        batches = DALIGenericIterator(
            pipeline(),
            ["images", "records"],
            reader_name="reader",
            last_batch_policy=LastBatchPolicy.PARTIAL,
            prepare_first_batch=False,
        )
        return timed(work, partial(epoch, batches))

    return run


# --- who runs ------------------------------------------------------------------------------------

SHARDS = "shards, then a window of 1,000"
WDS = {"family": "webdataset", "package": "webdataset", "shuffle": SHARDS, "checks": "none"}
LOOSE = {"family": "loose", "shuffle": "all images", "checks": "none"}
XRV = LOOSE | {"package": "torchxrayvision", "checks": "highest pixel value"}
MDS = {
    "family": "mosaic",
    "package": "mosaicml-streaming",
    "shuffle": "shards, then blocks (py1e)",
    "checks": "optional hash on download",
    "peers": True,
}
LIT = {
    "family": "litdata",
    "package": "litdata",
    "shuffle": "chunks, then 256 inside one",
    "checks": "none",
    "peers": True,
}
DALI = {
    "family": "dali",
    "package": "nvidia-dali",
    "shuffle": "a window of 1,000",
    "checks": "member missing",
    "peers": True,
}
JPG = {"codecs": ("jpg",)}  # those that decode by simplejpeg

IDIOM = "webdataset, its documented idiom (torchl), 2 workers"
MIX = "webdataset RandomMix (torchl), 2 workers"
PAPER = "torchxrayvision, loose files of CheXpert-small's size, 2 workers"

PEERS: dict[str, Contender] = {
    IDIOM: Contender(start=partial(webdataset_loader, decode="torchl"), **WDS),
    "webdataset, RGB as in its README (pil), 2 workers": Contender(
        start=partial(webdataset_loader, decode="pil"), **WDS
    ),
    "webdataset + simplejpeg, 2 workers": Contender(
        start=partial(webdataset_loader, decode="simplejpeg"), **WDS | JPG
    ),
    MIX: Contender(start=webdataset_mix, **WDS),
    "torchxrayvision, loose files of 224 pixels, 2 workers": Contender(
        start=partial(torchxrayvision, size="224"), **XRV
    ),
    PAPER: Contender(start=partial(torchxrayvision, size="chexpert"), **XRV),
    "torchvision ImageFolder, 2 workers": Contender(
        start=image_folder, package="torchvision", **LOOSE
    ),
    "Hugging Face datasets, streaming, 2 workers": Contender(
        start=hugging_face,
        family="hugging face",
        package="datasets",
        shuffle=SHARDS,
        checks="none",
    ),
    "MosaicML Streaming, its jpeg, 2 workers": Contender(start=partial(mosaic, fast=False), **MDS),
    "MosaicML Streaming + simplejpeg, 2 workers": Contender(
        start=partial(mosaic, fast=True), **MDS | JPG
    ),
    "LitData, its images, 2 workers": Contender(start=partial(litdata, workers=2), **LIT),
    "LitData, its images, 0 workers": Contender(start=partial(litdata, workers=0), **LIT),
    "LitData + simplejpeg, 2 workers": Contender(
        start=partial(litdata, workers=2, fast=True), **LIT | JPG
    ),
    "LitData + simplejpeg, 0 workers": Contender(
        start=partial(litdata, workers=0, fast=True), **LIT | JPG
    ),
    "LitData + simplejpeg, float32, 2 workers": Contender(
        start=partial(litdata, workers=2, fast=True, floats=True), **LIT | JPG
    ),
    "DALI on the CPU, 2 threads": Contender(start=partial(dali, floats=False), **DALI),
    "DALI on the CPU, float32, 2 threads": Contender(start=partial(dali, floats=True), **DALI),
}


# --- the worker ----------------------------------------------------------------------------------


def installed(package: str) -> str:
    """The version of a package; DALI's name says for which CUDA it was built."""
    for name in (package, f"{package}-cuda130", f"{package}-cuda120") if package else ():
        with suppress(PackageNotFoundError):
            return version(name)
    return ""


def serve(contenders: dict[str, Contender]) -> None:
    """Answer each line {"name", "work"} of stdin with one pass, as a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the log

    @cache
    def started(name: str, work: Work) -> Run:
        return contenders[name].start(work)

    for line in sys.stdin:
        ask = json.loads(line)
        try:
            done = started(ask["name"], Work(**ask["work"]))()
            answer = asdict(done) | {"version": installed(contenders[ask["name"]].package)}
        except Exception as error:  # the table shows it, and the other contenders run
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(PEERS)
