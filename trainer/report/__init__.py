"""What runs found, for people and programs.

One run leaves report.json, report.md and curves.png in its folder (`run`). Several are compared on
one page (`runs`, `compare`, `words`, `figures`, `page`); all of its words and numbers come from its
report.json.
"""

from trainer.report.single_run import Facts, curves, gather, markdown, table
from trainer.report.style import COLOURS, GREY

__all__ = ["COLOURS", "GREY", "Facts", "curves", "gather", "markdown", "table"]
