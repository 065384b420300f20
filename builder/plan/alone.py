"""The fewest images where each shows one target alone, in closed form.

An image for one target is then positive for no other, so it only adds to their total. With P_p
positives of target p among N rows, a share of a/b and S images in all, target p needs

    n_p(S) = max(0, ⌈(a·(N + S) − b·P_p) / b⌉)

images of its own, and a plan is any n with n_p ≥ n_p(S) for every p and Σ n_p = S. Let
f(S) = Σ_p n_p(S), which never falls as S grows. A plan of S images has S ≥ f(S); the least such S
is the least fixed point of f, and n_p(S) are its counts. It is reached from S = 0 upwards, by steps
that never pass it, all in integers: so no plan has fewer images.
"""

from collections.abc import Sequence
from fractions import Fraction

_MAX_STEPS = (
    100_000  # under 100 are usual; more are for shares of nine digits that fill the whole set
)


def fewest_alone(positives: Sequence[int], rows: int, share: Fraction) -> tuple[int, ...] | None:
    """The images to make for each of T targets, which have `positives` among `rows` real images.

    None where no number of images is enough.
    """
    a, b = share.numerator, share.denominator
    total = 0
    for _ in range(_MAX_STEPS):
        lacking = [a * (rows + total) - b * count for count in positives]
        render = tuple(max(0, -(-each // b)) for each in lacking)
        if sum(render) == total:
            return render
        # Those that lack something now will lack it at any larger total: without rounding,
        # b·S ≥ Σ (a·(N + S) − b·P_p) over them, hence slack·S ≥ fixed.
        short = [each for each in lacking if each > 0]
        slack, fixed = b - a * len(short), sum(short) - a * len(short) * total
        if slack > 0:
            total = max(sum(render), -(-fixed // slack))
        elif slack * total < fixed:
            return None
        else:
            total = sum(render)
    return None
