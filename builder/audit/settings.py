"""What an audit goes by: sizes of samples, and the thresholds beyond which something is said.

All of them are recorded in the audit, so that a reader knows what was looked at and how strictly.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The defaults are those of docs/audit.md."""

    seed: int = 0
    sample: int = 5000  # images of each side whose features are computed
    resamples: int = 1000  # of patients and of synthetic images, for intervals
    told: float = 0.6  # AUC of real against synthetic from which a shortcut is named
    agree: float = 0.05  # AUC that agreement may lose against the held-out real images
    accused: float = 0.001  # share of honest images that the copy detector may accuse
    fewer_than: int = 5  # patients that make a label vector rare
