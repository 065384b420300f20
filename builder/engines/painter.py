"""How synthetic pictures are produced: a generator, its checks, and the redraws → Picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from builder import generators
from builder.checks import Judge, Redraws, Reject, checked_pictures
from builder.contract import Sample, write_last
from builder.recipe import GeneratorSpec, Layout
from builder.render import LabelMap, Picture, render
from builder.write.encode import encode


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorPainter:
    """Pictures by a generator, which each process loads for itself."""

    generator: GeneratorSpec
    layout: Layout
    seed: int
    batch: int  # images per call of the generator
    judges: tuple[Judge, ...]
    redraws: Redraws
    label_map: LabelMap = ()
    threads: int = 0  # that resize and check

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture | Reject]:
        """A picture that passes the checks for each sample in order, its rejects before it."""
        spec = self.generator
        produce = partial(
            render,
            generators.load(spec.name, spec.image_size, spec.options),
            pathologies=self.layout.pathologies,
            image_size=self.layout.image.height,
            seed=self.seed,
            batch=self.batch,
            label_map=self.label_map,
            name=spec.name,
        )
        return checked_pictures(
            produce,
            samples,
            judges=self.judges,
            redraws=self.redraws,
            keep=self._keep,
            image_size=self.layout.image.height,
            threads=self.threads,
        )

    def banning(self, keys: frozenset[str]) -> "GeneratorPainter":
        """The same, but images with these keys are drawn again."""
        return replace(self, redraws=replace(self.redraws, banned=keys))

    def _keep(self, reject: Reject) -> None:
        """Write a rejected image, lossless, where such images are kept."""
        if folder := self.redraws.rejects_dir:
            folder.mkdir(parents=True, exist_ok=True)
            lossless = replace(self.layout.image, codec="png", quality=0)
            write_last(folder / f"{reject.sample.key}.png", encode(reject.pixels, lossless))
