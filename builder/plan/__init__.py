"""Labels and the share that each target must reach → Plan: the fewest images, with a proof.

`plan` states the integer programme and draws the rows; `branch_and_bound` solves it exactly.
"""

from builder.plan.plan import MAX_PER_REAL, Plan, draw_rows, philox, plan_balance, rare_targets

__all__ = ["MAX_PER_REAL", "Plan", "draw_rows", "philox", "plan_balance", "rare_targets"]
