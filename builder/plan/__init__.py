"""Labels and the share that each target must reach → Plan: the fewest images, with a proof.

`plan` states the integer programme and draws the rows; `branch_and_bound` solves it exactly, and
`alone` where each image shows one target. `needed` says what would work where no plan does.
`positives` says where a target's positives are when the training images have none.
"""

from builder.plan.needed import Vectors
from builder.plan.plan import MAX_PER_REAL, Plan, draw_rows, philox, plan_balance, rare_targets
from builder.plan.positives import check_positives

__all__ = [
    "MAX_PER_REAL",
    "Plan",
    "Vectors",
    "check_positives",
    "draw_rows",
    "philox",
    "plan_balance",
    "rare_targets",
]
