"""Which datasets can share the runs of a control: those that do not differ in what it shows."""

from dataclasses import dataclass

from builder.contract import Index, Manifest, sha256_bytes
from trainer.arms.arm import NEED_SYNTHETIC, TREATMENTS
from trainer.recipe import ArmName, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What the controls of a dataset depend on, the key of their order apart."""

    drawn: str  # sha256 of the real shards and of the synthetic images' labels
    real: str | None  # sha256 of the real shards; None in the report of an earlier version
    synthetic: int  # images

    def shown_by(self, arm: ArmName, steps: Steps) -> tuple[str | None, int] | None:
        """What the control shows: where it is equal, the runs of one dataset serve the other.

        None where they serve no other. Arms of real images alone depend on the synthetic ones by
        their number, which decides how long an epoch is; with steps "own" not even by that.
        """
        if arm in TREATMENTS:
            return None
        if arm in NEED_SYNTHETIC or self.real is None:
            return self.drawn, self.synthetic
        return self.real, self.synthetic if steps == "equal" else 0


def controls_of(manifest: Manifest, index: Index) -> Controls:
    """What the controls of that dataset depend on."""
    real = " ".join(shard.sha256 for shard in manifest.shardlist if shard.origin == "real").encode()
    drawn = index.labels[index.origin == "synthetic"]
    return Controls(
        drawn=sha256_bytes(real + b" " + drawn.tobytes()),
        real=sha256_bytes(real),
        synthetic=len(drawn),
    )
