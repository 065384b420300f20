"""Class activation maps: which parts of an image speak for a pathology, and which against it.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016: the weights of
the output layer projected on the last convolutional maps (`maps`). Images of a dataset are chosen
by a keyed draw, never by their score (`choose`), and drawn as one picture (`sheet`).
"""

from trainer.cam.choose import cams_of
from trainer.cam.command import cam_files, cam_shards
from trainer.cam.maps import Cam, Cams, activation_maps
from trainer.cam.sheet import overlay, sheet

__all__ = [
    "Cam",
    "Cams",
    "activation_maps",
    "cam_files",
    "cam_shards",
    "cams_of",
    "overlay",
    "sheet",
]
