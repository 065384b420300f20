"""How fast sealed shards become shuffled batches of 64: ours, its limit, and other loaders.

    python -m venv .venv-peers          # the peers want other versions of NumPy than we do
    .venv-peers/bin/pip install mosaicml-streaming litdata nvidia-dali-cuda130 simplejpeg \
        torchvision
    python benchmarks/stream.py --peers .venv-peers/bin/python

All contenders read the same images with the same bytes, but the paper's way larger files of them.
They take turns, --repeats times after one pass that does not count. Figures are medians.
webdataset, torchxrayvision and Hugging Face's datasets run in this interpreter; MosaicML Streaming,
LitData and DALI in that of --peers. Without ../shared/data the images are phantoms. Every contender
may use two cores, or one where it says so.

One epoch is timed, the start of its workers included. Our time also includes opening the dataset
with the sha256 of every shard, because a first epoch needs it; the others open before. Every pass
proves by the labels how often each image came (`stream_peers.py`, which holds the peers).
"""

import argparse
import json
import multiprocessing
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from recipes import recipe
from stream_images import SHARDS, SIDE, members, prepare
from stream_peers import BATCH, BITS, PEERS, WORKERS, Contender, Pass, Run, Work, serve, timed
from stream_report import (
    FLOAT,
    LATER,
    LIMIT,
    LIMIT_1,
    MIXED,
    OURS,
    OURS_1,
    RAM,
    Answers,
    Report,
    show,
)

REAL = Path(__file__).parents[2] / "shared/data/nih1k_224/images"
PATIENCE = 900  # seconds for one pass, including its preparation
OPEN = ExitStack()  # of a worker: datasets that stay open from pass to pass


# --- ours: the one place that knows the trainer --------------------------------------------------


def ours(
    work: Work,
    *,
    dataset: str = "one",
    threads: int = 2,
    floats: bool = False,
    ram: bool = False,
    opened: bool = False,
) -> Run:
    """Epochs by the trainer's own functions; `opened`: the dataset was opened and proved before."""
    import torch

    from builder.contract.weights import scale
    from trainer.arms import default_arm, make_arm
    from trainer.stream.batches import batches, open_dataset
    from trainer.stream.locate import locate_folder

    torch.set_num_threads(1)  # idle threads of OpenMP take time on the cores that decode
    located = locate_folder(str(Path(work.folder, dataset, "manifests/bench.json")), None)
    ram_bytes = work.count * work.side**2 if ram else 0
    opening = partial(open_dataset, located, workers=threads, ram_bytes=ram_bytes)
    asked, epochs = recipe(arm=default_arm(located.manifest)), count(1)

    def epoch(data: Any) -> Iterator[tuple[Any, Any]]:
        rows = make_arm(asked, data).order.epoch(next(epochs))
        for batch in batches(data, rows, size=BATCH, workers=threads, what="training"):
            yield (scale(batch.images) if floats else batch.images), batch.labels

    def whole() -> Iterator[tuple[Any, Any]]:
        with opening() as data:
            yield from epoch(data)

    if not (opened or ram):
        return partial(timed, work, whole)
    data = OPEN.enter_context(opening())
    return partial(timed, work, lambda: epoch(data))


# --- the limit -----------------------------------------------------------------------------------


def decode_all(images: list[bytes], codec: str) -> None:
    """Decode into one buffer that stays in the cache: no reader can do less."""
    if codec == "jpg":
        import simplejpeg

        buffer = np.empty((SIDE, SIDE, 1), np.uint8)
        for image in images:
            simplejpeg.decode_jpeg(image, "GRAY", buffer=buffer)
        return
    from builder.contract.png import decode_png

    out = np.empty((SIDE, SIDE), np.uint8)
    for image in images:
        decode_png(image, out.shape, out)


def limit(work: Work, *, processes: int) -> Run:
    images = list(members(Path(work.folder, "one")))

    def run() -> Pass:
        seconds = run_processes([images[i::processes] for i in range(processes)], work.codec)
        return Pass(images=len(images), seconds=seconds, kind="nothing")

    return run


def run_processes(parts: list[list[bytes]], codec: str) -> float:
    """Seconds in which one process for each part decodes it; their start does not count."""
    context = multiprocessing.get_context("fork")
    ready, done = (context.Barrier(len(parts) + 1) for _ in range(2))

    def decode(part: list[bytes]) -> None:
        ready.wait()
        decode_all(part, codec)
        done.wait()

    workers = [context.Process(target=decode, args=(part,)) for part in parts]
    for worker in workers:
        worker.start()
    ready.wait()
    begin = time.perf_counter()
    done.wait()
    seconds = time.perf_counter() - begin
    for worker in workers:
        worker.join()
    return seconds


# --- who runs ------------------------------------------------------------------------------------

BARE = {"shuffle": "none", "checks": "none"}
PRODUCT = {
    "shuffle": "shards, then a window of 8 shards",
    "checks": "sha256 of every shard, header of every image",
}
TWO, ONE = PRODUCT | {"family": "ours"}, PRODUCT | {"family": "ours, one core", "cores": 1}

OWN: dict[str, Contender] = {
    LIMIT: Contender(start=partial(limit, processes=2), family="limit", **BARE),
    LIMIT_1: Contender(
        start=partial(limit, processes=1), family="limit, one core", cores=1, **BARE
    ),
    OURS: Contender(start=ours, **TWO),
    LATER: Contender(start=partial(ours, opened=True), **TWO),
    FLOAT: Contender(start=partial(ours, floats=True), **TWO),
    OURS_1: Contender(start=partial(ours, threads=1), **ONE),
    "ours: float32, 1 thread, one core": Contender(
        start=partial(ours, threads=1, floats=True), **ONE
    ),
    "ours: the images as PNG, uint8, 2 threads": Contender(
        start=partial(ours, dataset="png"), **TWO
    ),
    MIXED: Contender(start=partial(ours, dataset="two"), **TWO),
    RAM: Contender(start=partial(ours, ram=True), **TWO),
}
CONTENDERS = OWN | PEERS


# --- the workers ---------------------------------------------------------------------------------


class Worker:
    """A process that stays alive and makes one pass when asked."""

    def __init__(self, command: list[str], cores: set[int], log: Path) -> None:
        """Bound to the cores from its start, so that no thread of any library runs elsewhere."""
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=os.environ | {"HF_HUB_OFFLINE": "1"},
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    def ask(self, name: str, work: Work) -> dict[str, Any]:
        """The worker's answer, or why there is none."""
        with suppress(BrokenPipeError):  # it has ended
            print(json.dumps({"name": name, "work": asdict(work)}), file=self.process.stdin)
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                self.process.kill()
                return {"error": f"no answer in {PATIENCE} seconds"}
            if line := self.process.stdout.readline():
                return json.loads(line)
        last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        return {"error": f"its process ended ({self.process.wait()}): {' '.join(last)}"}

    def close(self) -> None:
        """Close its stdin, at which it ends; kill it if it does not."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass(slots=True)
class Workers:
    """One process per family, started at its first pass."""

    work: Work
    peers: str
    cores: list[int]
    running: dict[str, Worker]

    def run(self, name: str) -> dict[str, Any]:
        """One pass, or {"error": why not}."""
        who = CONTENDERS[name]
        if self.work.codec not in who.codecs:
            return {"error": f"it reads no {self.work.codec}"}
        if who.family not in self.running:
            script = Path(__file__).with_name("stream_peers.py") if who.peers else __file__
            python = self.peers if who.peers else sys.executable
            command = [python, str(script)] + ([] if who.peers else ["--serve"])
            cores = set(self.cores[-who.cores :])
            log = Path(self.work.folder, f"{who.family}.log")
            self.running[who.family] = Worker(command, cores, log)
        return self.running[who.family].ask(name, self.work)

    def close(self) -> None:
        """End them all."""
        for worker in self.running.values():
            worker.close()


def rounds(workers: Workers, repeats: int, names: list[str]) -> Answers:
    """The answers of each contender, in turns.

    The first round does not count; it finds out who cannot run.
    """
    found: Answers = {}
    for turn in range(repeats + 1):
        for name in names:
            if turn and "error" in found[name][-1]:
                continue
            answer = workers.run(name)
            keep = found.get(name, []) if turn > 1 else []
            found[name] = [answer] if "error" in answer else [*keep, answer]
            say = answer.get("error") or f"{answer['images'] / answer['seconds']:,.0f} images/s"
            print(f"{turn or 'warm-up'}: {name}: {say}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8192, help="rounded up to whole batches")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default=sys.executable, metavar="PATH/python")
    parser.add_argument("--codec", choices=["jpg", "png"], default="jpg")
    parser.add_argument("--from", dest="source", type=Path, default=REAL, metavar="FOLDER")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="run only contenders whose names contain it"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(CONTENDERS)
        return
    if not Path(options.peers).is_file():
        parser.error(f"--peers {options.peers} is no Python interpreter.")
    whole = SHARDS * BATCH
    images = min(-(-options.images // whole) * whole, 2 ** len(BITS))
    cores = sorted(os.sched_getaffinity(0))[:WORKERS]
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(folder=folder, codec=options.codec, count=images, side=SIDE)
        prepare(work, options.source)
        names = [name for name in CONTENDERS if options.only in name]
        workers = Workers(work, options.peers, cores, {})
        try:
            found = rounds(workers, options.repeats, names)
        finally:
            workers.close()
        show(Report(work, found), CONTENDERS, cores)


if __name__ == "__main__":
    main()
