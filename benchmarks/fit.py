"""How long training waits for data, and how fast it is compared with the paper's loop.

    python benchmarks/fit.py
    python benchmarks/fit.py --device cuda --batch 64 --images 12800 --workers 8

"Ours" takes the steps of `trainer.fit` from sealed shards: threads decode, uint8 images go to the
device and are flipped and cast there, channels last; in bfloat16, too, where the device has it.
"The paper's loop" reads loose files of CheXpert-small's size as torchxrayvision does: DataLoader
workers read them with skimage and resize them to float32, channels first. Network, loss, optimizer,
images and batch are the same. All run in turns, each in its own arithmetic, the paper's loop in
torch's; the first pass does not count; figures are medians. Without ../shared/data the images are
phantoms.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from recipes import recipe
from stream_images import Images, loosened, originals, sealed
from stream_peers import BITS, Work

from builder.contract.precision import arithmetic, cpu_has_bfloat16
from trainer.arms import make_arm
from trainer.fit.control import Control, Place
from trainer.fit.devices import connect, pick_device
from trainer.fit.loop import TrainingRun
from trainer.fit.score import masked_loss
from trainer.fit.step import MAKE_OPTIMIZER
from trainer.model import build
from trainer.recipe import Recipe, RunConfig
from trainer.stream.batches import Dataset, open_dataset
from trainer.stream.locate import locate_folder

REAL = Path(__file__).parents[2] / "shared/data/nih1k_224/images"
Pass = Callable[[], tuple[float, float]]  # → (images a second, share of waiting for data)


def ours(data: Dataset, options: argparse.Namespace, asked: Recipe) -> Pass:
    """An epoch by the steps of `xtrain fit`."""
    arm = make_arm(asked, data)
    with connect(options.device, asked.precision) as fabric:
        control = Control(fabric, 3600)
        place = Place(out=Path(), fabric=fabric, control=control, workers=options.workers)
        model = build(BITS, init="random", seed=0)
        config = RunConfig(
            manifest=data.manifest.name, manifest_sha256=data.manifest.digest, shards="sealed",
            shards_root=None, out="", **asdict(asked), init_sha256=None, device=options.device,
            ranks=1, workers=options.workers, skip_bad=False,
        )  # fmt: skip
        run = TrainingRun.begin(data, arm, model, config, place)
    start, rows = run.state, arm.order.epoch(1)

    def one() -> tuple[float, float]:
        run.state = type(start)(
            cursor=start.cursor,
            partial=type(start.partial).nothing(len(data.index), fabric.device),
        )
        with arithmetic(asked.precision):  # it is the whole process's: others have their turns
            began = time.perf_counter()
            run.train(rows)
            wait_for(fabric.device)
            seconds = time.perf_counter() - began
        return len(rows) / seconds, run.state.partial.waited / seconds

    return one


class Loose(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Loose files as torchxrayvision reads them: float32 [1, 224, 224] in [-1024, 1024]."""

    def __init__(self, work: Work, labels: np.ndarray) -> None:
        self.work, self.labels = work, labels

    def __len__(self) -> int:
        return self.work.count

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        import skimage.io
        import torchxrayvision as xrv
        from torchxrayvision.datasets import XRayCenterCrop, XRayResizer

        image = skimage.io.imread(self.work.image("chexpert", number))
        image = xrv.datasets.normalize(image, maxval=255, reshape=True)
        image = XRayResizer(self.work.side)(XRayCenterCrop()(image))
        for axis in (1, 2):
            if np.random.default_rng().random() < 0.5:
                image = np.flip(image, axis)
        return np.ascontiguousarray(image, np.float32), self.labels[number]


def papers_loop(data: Dataset, options: argparse.Namespace, work: Work) -> Pass:
    """An epoch of the paper's loop, in the arithmetic that torch has by default."""
    device = pick_device(options.device)
    model = build(BITS, init="random", seed=0).to(memory_format=torch.contiguous_format).to(device)
    optimizer = MAKE_OPTIMIZER["adam"](model.parameters(), lr=1e-3)
    loader = torch.utils.data.DataLoader(
        Loose(work, data.index.labels.astype(np.float32)),
        batch_size=options.batch,
        shuffle=True,
        num_workers=options.workers,
        pin_memory=device.type == "cuda",
    )

    def one() -> tuple[float, float]:
        began, waited = time.perf_counter(), 0.0
        batches = iter(loader)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            summed, known = masked_loss(model(batch[0].to(device)), batch[1].to(device))
            optimizer.zero_grad()
            torch.autograd.backward(summed / known)
            optimizer.step()
        wait_for(device)
        seconds = time.perf_counter() - began
        return work.count / seconds, waited / seconds

    return one


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[tuple[Dataset, Work]]:
    with tempfile.TemporaryDirectory() as folder:
        work = Work(folder=folder, count=options.images, side=224, codec="jpg")
        images, root = Images(originals(REAL)), Path(folder, "one")
        sealed(root, images, work, "jpg", 0)
        loosened(images, work)
        located = locate_folder(str(root / "manifests/bench.json"), None)
        with open_dataset(located, workers=options.workers) as data:
            yield data, work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too")
    options = parser.parse_args()
    device = pick_device(options.device)
    base = recipe(batch=options.batch, augment="flip")
    with prepared(options) as (data, work):
        passes = {
            "the paper's loop": papers_loop(data, options, work),
            "ours, fp32": ours(data, options, base),
        }
        if device.type == "cuda" or cpu_has_bfloat16():
            passes["ours, bf16"] = ours(data, options, replace(base, precision="bf16"))
        if options.compile:
            passes["ours, compiled"] = ours(data, options, replace(base, compile=True))
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in passes}
        for turn in range(options.repeats + 1):
            for name, one in passes.items():
                found = one()
                if turn:
                    seen[name].append(found)
    show(seen, device)


def show(seen: dict[str, list[tuple[float, float]]], device: torch.device) -> None:
    print(f"DenseNet-121 at 224 px on {device.type}\n")
    print("| contender | images/s | × the paper's loop | waiting for data |")
    print("|---|---:|---:|---:|")
    rates = {name: statistics.median(rate for rate, _ in found) for name, found in seen.items()}
    for name, found in seen.items():
        ratio = rates[name] / rates["the paper's loop"]
        waited = statistics.median(wait for _, wait in found)
        print(f"| {name} | {rates[name]:.1f} | {ratio:.2f} | {waited:.2%} |")


if __name__ == "__main__":
    main()
