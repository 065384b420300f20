"""Every program of docs/your-own-loop.md runs as it stands, on a small sealed dataset."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/your-own-loop.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
PROGRAMS = {
    title: "".join(re.findall(r"```python\n(.*?)```", text, re.S))
    for title, text in SECTIONS.items()
}
NEEDS = {  # of a program, besides what the project itself needs
    "Lightning": ("lightning", "torchdata"),
    "Hugging Face's Trainer": ("transformers", "accelerate"),
    "Hugging Face's datasets": ("datasets",),
    "DALI": ("nvidia", "nvidia.dali"),
}

# What is true when a program has run. `index` is the parquet index, `training` its part.
CHECKS = {
    "PyTorch": """
        assert not loss.isnan()
        assert not network.training
        keys = [key for batch in loader for key in batch["key"]]
        assert sorted(keys) == sorted(training["key"])
        train.set_epoch(0)
        assert [key for batch in loader for key in batch["key"]] != keys
    """,
    "To resume": """
        train.set_epoch(0)
        unbroken = [key for batch in train for key in batch["key"]]
        place = json.loads(Path("place.json").read_text())
        train.set_epoch(1)  # an epoch that is over
        train.load_state_dict(place)
        train.set_epoch(0)
        rest = [key for batch in train for key in batch["key"]]
        assert rest == unbroken[place["position"] :]
        assert 4 * 64 < place["position"] <= 5 * 64
    """,
    "The control in your own loop": """
        keys = [key for batch in control for key in batch["key"]]
        assert len(keys) == len(training)
        assert {*training.set_index("key").loc[keys, "origin"]} == {"real"}
    """,
    "Lightning": """
        from lightning.pytorch.callbacks import ModelCheckpoint

        assert trainer.global_step == 2 * len(train)
        assert 0 < trainer.callback_metrics["loss"] < 10
        seen = []

        class Noted(Classifier):
            def on_train_batch_end(self, outputs, batch, number):
                seen.append(batch["key"])

        def fit(*callbacks, **options):
            lightning.Trainer(
                max_epochs=2, reload_dataloaders_every_n_epochs=1, logger=False,
                callbacks=list(callbacks), enable_checkpointing=bool(callbacks),
            ).fit(Noted(), **options)

        every = ModelCheckpoint("steps", "{step}", save_top_k=-1, every_n_train_steps=1)
        ends = ModelCheckpoint("ends", "{epoch}", save_top_k=-1)
        fit(every, ends)
        unbroken = seen.copy()
        assert len(unbroken) == 2 * len(train)
        for step in (1, len(train) - 1, len(train), len(train) + 1):
            seen.clear()
            fit(ckpt_path=f"steps/step={step}.ckpt")
            assert seen == unbroken[step:], step
        seen.clear()
        fit(ckpt_path="ends/epoch=0.ckpt")
        assert seen == unbroken[len(train) :]
    """,
    "Hugging Face's Trainer": """
        assert trainer.state.global_step == -(-len(training) // 64)
        assert 0 < trainer.state.log_history[-2]["eval_loss"] < 10
    """,
    "webdataset": """
        assert images.shape == (64, 1, 32, 32)
        assert labels.shape == (64, 14)
        keys = [key for batch in loader for key in batch["__key__"]]
        assert sorted(keys) == sorted(training["key"])
    """,
    "Hugging Face's datasets": """
        assert sample["jpg"].size == (32, 32)
        origins = training.set_index("key")["origin"]
        shown = train.shuffle(seed=0, buffer_size=buffer).take(100)
        assert {origins[sample["__key__"]] for sample in shown} == {"real", "synthetic"}
        row = training.set_index("key").loc[sample["__key__"]]
        assert all(row[name] == label for name, label in sample["json"]["labels"].items())
        assert len(sample["json"]["labels"]) == 14
    """,
    "DALI": """
        assert images.at(0).shape == (32, 32, 1)
        origins = training.set_index("key")["origin"]
        keys = [json.loads(bytes(notes.at(i)))["key"] for i in range(64)]
        assert {*origins[keys]} == {"real", "synthetic"}
        assert {label for found in labels for label in found.values()} <= {1, 0, -1}
    """,
    "Tar and parquet": """
        assert image.size == (32, 32)
        assert record["key"] == row["key"]
        assert all(row[name] == label for name, label in record["labels"].items())
    """,
}
INDEX = """
import pandas as pd
index = pd.read_parquet("manifests/gan10.parquet")
training = index[index["split"] == "train"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sealed dataset gan10, built by the installed command."""
    out = tmp_path_factory.mktemp("own-loop")
    program = Path(sys.executable).with_name("xbuild")
    asked = "synth --dataset demo --regime 0.2 --holdout 0.002 0.002 --image-size 32 --name gan10"
    subprocess.run(
        [program, *asked.split(), "--shard-size", "150", "--workers", "1", "--out", out],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return out


def is_installed(name: str) -> bool:
    return find_spec(name) is not None


def test_each_section_has_a_program_and_its_checks() -> None:
    assert all(PROGRAMS.values())
    assert {*CHECKS} == {*PROGRAMS}
    assert {*NEEDS} <= {*PROGRAMS}


def test_the_pytorch_loop_trains_and_scores_each_in_its_mode() -> None:
    """A reader's own network may have layers that differ between the two."""
    training, scoring = PROGRAMS["PyTorch"].split("network.eval()")
    assert "    network.train()\n    for batch in loader:\n" in training
    assert "network(" in scoring
    assert "roc_auc_score(" not in training


def begun(title: str, end: str) -> dict[str, Any]:
    """The names of a program that has run until `end`, without the package of its section."""
    lines = PROGRAMS[title].split(end)[0].splitlines()
    own = [line for line in lines if not line.startswith(("from datasets", "from nvidia"))]
    names: dict[str, Any] = {}
    exec("\n".join(own), names)
    return names


@pytest.mark.parametrize(
    ("title", "end", "option"),
    [
        ("Hugging Face's datasets", "train = load_dataset", "buffer_size=buffer"),
        ("DALI", "@pipeline_def", "initial_fill=buffer"),
    ],
)
def test_a_loader_of_files_mixes_the_origins(
    title: str, end: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard has images of one origin, and the real shards come first in the manifest."""
    monkeypatch.chdir(tmp_path)
    origins = ["real"] * 6 + ["synthetic"] * 3
    shards = [
        {"url": f"{origin}-{i}.tar", "origin": origin, "split": "train", "nsamples": 4096}
        for i, origin in enumerate(origins)
    ]
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/gan10.json").write_text(json.dumps({"shardlist": shards}))
    names = begun(title, end)
    assert names["buffer"] > 4096
    assert option in PROGRAMS[title]
    if title == "DALI":  # the other one shuffles the order of shards by itself
        assert sorted(names["tars"]) == sorted(shard["url"] for shard in shards)
        for start in range(0, 9, 3):
            three = names["tars"][start : start + 3]
            assert sum(url.startswith("real") for url in three) == 2


@pytest.mark.slow
@pytest.mark.parametrize("title", PROGRAMS)
def test_a_program_runs(folder: Path, title: str, tmp_path: Path) -> None:
    if missing := [name for name in NEEDS.get(title, ()) if not is_installed(name)]:
        pytest.skip(f"{missing[0]} is not installed")
    script = tmp_path / "program.py"
    script.write_text(PROGRAMS[title] + INDEX + dedent(CHECKS[title]))
    elsewhere = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env=os.environ | elsewhere,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
