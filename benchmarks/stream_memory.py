"""Does the memory of the stream stay flat, epoch after epoch?

python benchmarks/stream_memory.py manifests/gan100.json --epochs 10
"""

import argparse
import time
from pathlib import Path

from recipes import recipe

from builder.store import Cache, default_cache_folder
from trainer.arms import default_arm, make_arm
from trainer.stream.batches import batches, open_dataset
from trainer.stream.locate import locate


def resident() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    cache = Cache(folder=default_cache_folder(), max_bytes=10**11)
    located = locate(options.manifest, None, cache)
    with open_dataset(located, workers=options.workers) as data:
        asked = recipe(arm=default_arm(located.manifest), epochs=options.epochs)
        order = make_arm(asked, data).order
        for epoch in range(1, options.epochs + 1):
            began, rows = time.perf_counter(), order.epoch(epoch)
            stream = batches(
                data, rows, size=asked.batch, workers=options.workers, what=f"epoch {epoch}"
            )
            images = sum(len(batch.rows) for batch in stream)
            rate = images / (time.perf_counter() - began)
            print(f"epoch {epoch}: {images:,} images, {rate:,.0f}/s, {resident():,.0f} MB")


if __name__ == "__main__":
    main()
