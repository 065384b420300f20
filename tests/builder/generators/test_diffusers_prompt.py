"""Prompts of label vectors: what is said, denied and left out."""

from typing import Any

import numpy as np
import pytest

from builder.generators.diffusers_prompt import LABELS, prompt
from builder.labels import CHEXPERT, NIH, find_pathology

TINY_LABELS = ("No Finding", "Mass", "Effusion", "Support Devices", "Pleural Other")
PROMPTS = [
    ((0, 1, 1, 0, 0), {}, "mass, pleural effusion."),
    ((0, 0, 0, 0, 1), {}, "pleural thickening."),
    ((0, 0, 0, 0, 0), {}, "no acute cardiopulmonary process."),
    ((1, 0, 0, 0, 0), {}, "no acute cardiopulmonary process."),
    ((1, 1, 0, 0, 0), {}, "mass."),
    ((1, 0, 0, 1, 0), {}, "no acute cardiopulmonary process, support devices."),
    ((0, 1, 0, 1, 0), {}, "mass, support devices."),
    ((0, 1, 0, 0, 0), {"negate": ["Effusion", "Mass"]}, "mass, no pleural effusion."),
    ((0, 0, 0, 0, 0), {"negate": ["Mass"], "absent": "normal chest"}, "normal chest, no mass."),
    ((0, 1, 0, 0, 0), {"template": "Chest with {findings}; PA"}, "Chest with mass; PA"),
]


@pytest.mark.parametrize(("present", "options", "expected"), PROMPTS)
def test_prompts(present: tuple[int, ...], options: dict[str, Any], expected: str) -> None:
    assert prompt(np.float32(present), TINY_LABELS, **options) == expected


def test_what_is_said_twice_is_said_once_and_not_denied() -> None:
    labels = ("Pleural Other", "Pleural_Thickening")
    assert prompt((1, 1), labels) == "pleural thickening."
    assert prompt((1, 0), labels, negate=labels) == "pleural thickening."


def test_the_labels_cover_chexpert_and_nih_once() -> None:
    assert all(find_pathology(name, LABELS) for name in (*CHEXPERT, *NIH))
    assert len(LABELS) == 21
