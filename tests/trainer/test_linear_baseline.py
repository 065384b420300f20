"""benchmarks/linear_baseline.py on the tiny dataset, whose signs a linear model sees."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from trainer.stream.batches import Dataset

SCRIPT = Path(__file__).parents[2] / "benchmarks/linear_baseline.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("linear_baseline", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_linear_model_sees_the_signs_and_no_class_has_no_figure(
    script: ModuleType, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "COMPONENTS", 6)  # 97 images are too few for 128
    found = script.baselines(data, ("val", "test"))
    for split in ("val", "test"):
        hernia, lesion, fracture = found[split]
        assert hernia is None  # positives in train only
        assert min(lesion, fracture) > 0.9
    labels = data.index.labels.copy()
    rng = np.random.default_rng(0)
    train = data.rows("train", "real")
    labels[train] = labels[rng.permutation(train)]
    shuffled = script.baselines(replace(data, index=replace(data.index, labels=labels)), ("val",))
    assert max(shuffled["val"][1:]) < 0.85


def test_images_without_whole_boxes_are_refused(script: ModuleType, data: Dataset) -> None:
    image = replace(data.manifest.image, height=40)
    other = replace(data, manifest=replace(data.manifest, image=image))
    with pytest.raises(SystemExit, match="40×32 pixels have no boxes of 32"):
        script.reduced(other, data.rows("val"))
