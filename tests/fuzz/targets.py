"""Every entry point that reads a stranger's bytes: name → Target."""

import dataset_targets
import generator_targets
import label_targets
import remote_targets
import run_targets

TARGETS = {
    **dataset_targets.TARGETS,
    **run_targets.TARGETS,
    **generator_targets.TARGETS,
    **label_targets.TARGETS,
    **remote_targets.TARGETS,
}
