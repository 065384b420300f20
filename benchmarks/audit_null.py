"""How often the audit calls honest images different: patients of one dataset, dealt into three.

    nice python benchmarks/audit_null.py MANIFEST                # 40 deals, 400 images a part
    nice python benchmarks/audit_null.py MANIFEST --images 1500 --judges agreement

The real images of a sealed dataset are dealt by patient, anew for each seed, to training images
(twice as many), held-out ones, and ones that are judged as if they were synthetic. There is nothing
to find, so each judge may say that there is in about 5 % of deals at most.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from builder.audit.agreement import judge_agreement
from builder.audit.features import pixel_features
from builder.audit.pictures import Pictures, open_sealed, read_pictures
from builder.audit.quality import judge_quality
from builder.audit.settings import Settings
from builder.audit.shortcuts import judge_shortcuts
from builder.progress import Advance, progress

JUDGES = ("quality", "shortcuts", "agreement")
PARTS = (2, 1, 1)  # training, held out, as if synthetic


@contextmanager
def silent(title: str, total: int, unit: str = "images") -> Iterator[Advance]:  # noqa: ARG001
    """No bar."""
    yield lambda _: None


def dealt(real: Pictures, images: int, seed: int) -> list[Pictures]:
    """The parts, of about that many images or twice as many, no patient in two of them."""
    _, who = np.unique(real.patients.astype(str), return_inverse=True)
    place = np.random.default_rng(seed).permutation(who.max() + 1)[who]
    order = np.argsort(place, kind="stable")
    edges = np.minimum(np.cumsum((0, *PARTS)) * images, len(order) - 1)
    limits = [*place[order[edges[:-1]]], place[order[edges[-1]]]]
    return [
        real.take(np.flatnonzero((place >= low) & (place < high))) for low, high in pairwise(limits)
    ]


def said(judge: str, parts: list[Pictures], settings: Settings) -> list[str] | None:
    """What that judge says of honest images; None where it could say nothing."""
    train, held_out, fakes = parts
    if judge == "quality":
        extractor = pixel_features(train)
        figures = judge_quality(fakes, train, held_out, extractor, settings, silent).figures
        return [figure.name for figure in figures if figure.differs] if figures else None
    if judge == "shortcuts":
        found, _ = judge_shortcuts(fakes, train, held_out, settings=settings, show=silent)
        return None if found is None else ["told"] * found.told
    targets, _ = judge_agreement(fakes, train, held_out, settings=settings, show=silent)
    if not any(target.tells for target in targets):
        return None
    return [target.target for target in targets if target.disagrees]


def main() -> None:
    """Print how often each judge was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--judges", nargs="+", choices=JUDGES, default=JUDGES)
    asked = parser.parse_args()
    sealed = open_sealed(asked.manifest)
    wrong, able, names = Counter[str](), Counter[str](), Counter[str]()
    busy = Counter[str]()
    with TemporaryDirectory() as folder:
        rows = sealed.rows("real", ["train", "val", "test"])
        real = read_pictures(sealed, rows, Path(folder), progress)
        for seed in range(asked.seeds):
            parts = dealt(real, asked.images, seed)
            for judge in asked.judges:
                began = time.process_time()
                found = said(judge, parts, Settings(seed=seed))
                busy[judge] += time.process_time() - began
                able[judge] += found is not None
                wrong[judge] += bool(found)
                names.update(f"{judge}: {name}" for name in found or ())
            print(seed, dict(wrong), dict(able), dict(names), flush=True)
    for judge in asked.judges:
        print(
            f"{judge}: {wrong[judge]} of {able[judge]} deals that it could judge "
            f"({asked.seeds} in all), {busy[judge] / asked.seeds:.1f} CPU seconds each"
        )


if __name__ == "__main__":
    main()
