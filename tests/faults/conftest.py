"""The modules of this folder are found by name; `run.py` has them beside it, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
