"""Where the positives of a target are, when none is among the training images."""

from collections.abc import Mapping, Sequence

from builder.contract import Labels, UsageError

_UNKNOWN = -1


def check_positives(
    pathologies: Sequence[str], targets: Sequence[str], parts: Mapping[str, Labels]
) -> None:
    """Raise UsageError for the first target without a positive in train; it says where they are.

    `parts` holds int8 [N, L] labels by name: `train`, of the regime; `rest`, of the training images
    beyond it; `val` and `test`.
    """
    for name in targets:
        column = pathologies.index(name)
        count = {part: int((labels[:, column] == 1).sum()) for part, labels in parts.items()}
        if count["train"]:
            continue
        unknown = int((parts["train"][:, column] == _UNKNOWN).sum())
        raise UsageError(
            f"{name} has no positive among the {len(parts['train']):,} real images of this regime, "
            f"and a target needs at least one: {'; '.join(_ways(count, unknown))}."
        )


def _ways(count: Mapping[str, int], unknown: int) -> list[str]:
    """Where there are positives, each with what brings them into train."""
    ways = []
    if count["rest"]:
        ways.append(f"{count['rest']:,} are in the rest of train, choose a larger --regime")
    if count["val"] or count["test"]:
        ways.append(
            f"{count['val']:,} are in val and {count['test']:,} in test, choose another --seed or "
            "--holdout"
        )
    if unknown:
        ways.append(f"{unknown:,} are unknown, --uncertain ones makes them positive")
    return ways or ["no image of the table has it, choose other targets by --target"]
