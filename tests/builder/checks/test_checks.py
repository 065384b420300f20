"""Rejects are drawn again: shares are exact, no garbage is sealed, workers and batches are free."""

import csv
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from builder import checks as accept
from builder.checks import Context, Picture, Reject, accepted, find_check, redrawn
from builder.checks.constant import judge as constant
from builder.checks.duplicate import duplicates
from builder.contract import (
    Bytes,
    CheckError,
    ImageSpec,
    Sample,
    UsageError,
    decode_image,
    load_index,
    load_manifest,
    sha256_file,
)
from builder.write import Job, write_shard
from trainer.model import build as model_of
from trainer.model import save_weights

# A fifth of its images are empty, a fifth of the others are one and the same.
BROKEN = """
import numpy as np

class Broken:
    labels, resolution, latent_size = ("Mass", "Pleural_Thickening"), 32, 4

    def __call__(self, latents, labels):
        fixed = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
        images = []
        for row in latents:
            seed = int(abs(row).sum() * 1e6)
            image = np.random.default_rng(seed).integers(0, 255, (32, 32), dtype=np.uint8)
            images.append(np.zeros_like(image) if seed % 5 == 0 else
                          fixed if seed % 5 == 1 else image)
        return np.stack(images)

def load(argument, image_size):
    return Broken()

class Never:
    needs = ()

    def __init__(self, word):
        self.identity, self.word = "never:" + word, word

    def prepared(self, context, targets):
        return self

    def __call__(self, images, samples):
        return ["it is too " + self.word] * len(images)
"""


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed package: the generator `broken` and the check `never`."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "broken_gan.py").write_text(BROKEN)
    about = folder / "broken_gan-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-gan\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[cxr_rebalance.generators]\nbroken = broken_gan:load\n"
        "[cxr_rebalance.checks]\nnever = broken_gan:Never\n"
    )
    return folder


MORE = ["--generator", "broken", "--share", "0.4", "--shard-size", 10]  # the last word counts
Build = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def build(broken: Path, small: list[object]) -> Build:
    """`xbuild synth` of the clinic with the broken generator."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("xbuild"), *small, *MORE, *words]
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(broken)},
        )

    return run


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".tar", ".idx", ".json", ".parquet", ".csv")
    }


def test_a_fifth_of_garbage_ends_with_the_exact_shares_and_a_report_of_every_reject(
    build: Build, xbuild: Build, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = build("--accept", "duplicate", "--out", out, "--workers", 1, "--keep-rejects")
    assert done.returncode == 0, done.stderr
    path = out / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    assert xbuild("verify", path).returncode == 0
    assert not manifest.plan.broken()
    index = load_index(manifest, out)
    rows = np.flatnonzero(index.origin == "synthetic")
    assert len(rows) == manifest.plan.synthetic > 30
    sealed = set()
    for row in rows:
        with (out / index.shard[row]).open("rb") as file:
            file.seek(int(index.offset[row]))
            pixels = decode_image(file.read(int(index.size[row])), manifest.image)
        assert pixels.min() < pixels.max()
        sealed.add(pixels.tobytes())
    assert len(sealed) == len(rows)
    with (out / "gan100-rejected.csv").open() as file:
        rejects = list(csv.DictReader(file))
    reasons = Counter(reject["reason"] for reject in rejects)
    assert reasons == manifest.generator["rejected"]
    assert set(reasons) == {
        "its pixels are all nearly the same",
        "it is a duplicate of an earlier image",
    }
    share = reasons["its pixels are all nearly the same"] / (len(rows) + len(rejects))
    assert 0.05 < share < 0.4
    assert not {reject["key"] for reject in rejects} & set(index.key)
    kept = {file.stem for file in (out / "gan100-rejected").glob("*.png")}
    assert {reject["key"] for reject in rejects} == kept
    assert "Rejected and drawn again" in done.stdout


def test_the_bytes_do_not_depend_on_batch_workers_or_interruptions(
    build: Build, tmp_path: Path
) -> None:
    words = ["--accept", "duplicate"]
    assert build(*words, "--out", tmp_path / "one", "--workers", 1).returncode == 0
    assert build(*words, "--out", tmp_path / "two", "--workers", 3, "--batch", 5).returncode == 0
    wanted = files(tmp_path / "one")
    assert files(tmp_path / "two") == wanted
    folder = tmp_path / "two" / "shards" / "gan100"
    (tmp_path / "two" / "manifests" / "gan100.json").unlink()
    shards = sorted(folder.glob("*.tar"))
    assert len(shards) > 1
    shards[0].unlink()
    assert build(*words, "--out", tmp_path / "two", "--batch", 2).returncode == 0
    assert files(tmp_path / "two") == wanted


def test_a_build_that_was_refused_goes_on_with_a_better_word(build: Build, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--out", out, "--workers", 1, "--holdout", "0.2", "0.1"]
    refused = build(*words, "--accept", "copy:0.01")
    assert refused.returncode == 2
    assert "use a larger --holdout, or a larger fraction" in refused.stderr
    done = build(*words, "--accept", "copy:0.4")
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(out / "manifests" / "gan100.json")
    assert manifest.recipe["accept"] == ["constant", "copy:0.4"]


@pytest.mark.parametrize("unfinished", ["first shard", "duplicates"])
def test_killed_between_the_rounds_it_ends_the_same(
    build: Build, tmp_path: Path, unfinished: str
) -> None:
    words = ["--accept", "duplicate", "--workers", 1]
    assert build(*words, "--out", tmp_path / "one").returncode == 0
    wanted, out = files(tmp_path / "one"), tmp_path / "two"
    assert build("--workers", 1, "--out", out).returncode == 0  # a first round and no more
    folder = out / "shards" / "gan100"
    (out / "manifests" / "gan100.json").unlink()
    recipe = tmp_path / "one" / "shards" / "gan100" / "recipe.json"
    (folder / "recipe.json").write_bytes(recipe.read_bytes())
    if unfinished == "duplicates":
        note = tmp_path / "one" / "shards" / "gan100" / "duplicates.json"
        (folder / "duplicates.json").write_bytes(note.read_bytes())
    else:
        min(folder.glob("*.tar")).unlink()
    assert build(*words, "--out", out).returncode == 0
    assert files(out) == wanted


def test_a_check_from_another_package_that_nothing_passes_stops_the_build(
    build: Build, tmp_path: Path
) -> None:
    done = build("--accept", "never:grey", "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 1
    assert "21 images in a row were rejected" in done.stderr
    assert "because it is too grey" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("gan100*.json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--accept", "beauty"], "No check is called 'beauty': --accept takes constant, copy, dup"),
        (["--accept", "copy:2"], "takes a fraction in (0, 1), got '2'"),
        (["--accept", "judge:absent.safetensors"], "Cannot read the judge absent.safetensors"),
        (["--accept", "constant:1"], "takes no argument"),
        (["--generator-option", "steps"], "takes NAME=VALUE, got 'steps'"),
        (["--generator-option", "steps=4"], "has no option 'steps': it takes none"),
        (["--precision", "bf16"], "has no option 'precision'"),
        (["--generator-option", "precision=bf16"], "--precision is its own"),
        (["--accept", "duplicate:1"], "No check is called 'duplicate:1'"),
        (["--accept", "copy", "--real", "none"], "looks at real images: use --real pack"),
    ],
)
def test_bad_input_is_one_sentence(
    build: Build, tmp_path: Path, words: list[str], message: str
) -> None:
    done = build(*words, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# --- the parts -----------------------------------------------------------------------------------


def sample(draw: int, target: str = "Mass") -> Sample:
    return Sample(
        key=f"x-{target.lower()}-{draw:07d}",
        split="train",
        origin="synthetic",
        target=target,
        draw=draw,
        patient="",
        labels=(1,),
    )


def test_a_redraw_has_a_number_that_no_other_image_has() -> None:
    steps = 7
    numbers = {redrawn(sample(i), times, steps).draw for i in range(steps) for times in range(5)}
    assert numbers == set(range(35))
    again = redrawn(sample(3), 2, steps)
    assert (again.key, again.draw, again.labels) == ("x-mass-0000017", 17, (1,))


def test_pictures_come_in_order_and_their_rejects_before_them() -> None:
    def render(samples: Iterable[Sample]) -> Iterator[Bytes]:
        return (np.full((2, 2), s.draw % 251, np.uint8) for s in samples)

    def odd(images: Bytes, _: Sequence[Sample]) -> list[str]:
        return ["odd" if image[0, 0] % 3 == 1 else "" for image in images]

    asked = [sample(i) for i in range(600)]  # more than are finished at a time
    steps = {"Mass": 600}
    found = list(accepted(render, asked, judges=[odd], steps=steps))
    pictures = [f for f in found if isinstance(f, Picture)]
    rejects = [f for f in found if isinstance(f, Reject)]
    assert [p.sample.draw % 600 for p in pictures] == list(range(600))
    assert all(p.pixels[0, 0] % 3 != 1 for p in pictures)
    assert len(rejects) > 100
    before: list[int] = []
    for item in found:
        if isinstance(item, Reject):
            before.append(item.sample.draw % 600)
        else:
            assert all(place == item.sample.draw % 600 for place in before)
            before = []


def test_constant() -> None:
    images = np.zeros((3, 4, 4), np.uint8)
    images[:, 0, 0] = (0, 7, 8)
    words = "its pixels are all nearly the same"
    assert constant(images, []) == [words, words, ""]


def radiographs(count: int, seed: int) -> Bytes:
    """Smooth random fields."""
    random = np.random.default_rng(seed)
    coarse = random.normal(0, 1, (count, 6, 6))
    fields = np.kron(coarse, np.ones((8, 8)))
    return (fields * 30 + 128).clip(0, 255).astype(np.uint8)


def noisy(images: Bytes, strength: float) -> Bytes:
    noise = np.random.default_rng(9).normal(0, strength, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


def test_duplicates_are_found_whatever_the_cuts_and_the_first_stays() -> None:
    images = radiographs(40, 0)
    images[7], images[30], images[31] = images[2], noisy(images[5:6], 3)[0], images[30]
    keys = [str(i) for i in range(40)]
    wanted = {"7", "30", "31"}
    for size in (1, 3, 40):
        blocks = ((keys[i : i + size], images[i : i + size]) for i in range(0, 40, size))
        assert duplicates(blocks) == wanted


SPEC = ImageSpec(height=48, width=48, codec="png", quality=0)


def packed(root: Path, **splits: tuple[Bytes, np.ndarray]) -> Context:
    """Real images and labels [N, 2] of Edema and Mass in shards, two for each split."""
    scratch = root / "scratch"
    scratch.mkdir()
    shards = []
    for split, (images, labels) in splits.items():
        for part in range(2):
            mine, words = images[part::2], labels[part::2].tolist()
            samples = tuple(
                Sample(
                    key=f"real-{split}-{part}-{i:05d}",
                    split=split,
                    origin="real",
                    target="",
                    draw=-1,
                    patient="0" * 16,
                    labels=tuple(row),
                )
                for i, row in enumerate(words)
            )
            job = Job(
                root=root,
                url=f"shards/real/{split}-{part:05d}-of-00002.tar",
                samples=samples,
                paint=lambda asked, mine=mine: [
                    Picture(sample=s, pixels=pixels) for s, pixels in zip(asked, mine, strict=True)
                ],
                pathologies=("Edema", "Mass"),
                image=SPEC,
            )
            write_shard(job)
            shards.append((split, job.url))
    return Context(
        root=root, shards=tuple(shards), image=SPEC, pathologies=("Edema", "Mass"), scratch=scratch
    )


def no_labels(images: Bytes) -> np.ndarray:
    return np.zeros((len(images), 2), np.int8)


def test_a_copy_of_a_training_image_is_rejected_and_a_new_image_is_not(tmp_path: Path) -> None:
    train, held, fresh = (radiographs(count, seed) for count, seed in ((50, 1), (120, 2), (50, 3)))
    context = packed(tmp_path, train=(train, no_labels(train)), val=(held, no_labels(held)))
    judge = pickle.loads(pickle.dumps(find_check("copy").prepared(context, ["Mass"])))
    assert all("near-copy" in reason for reason in judge(noisy(train, 3), []))
    assert sum(map(bool, judge(fresh, []))) <= 3  # one in a hundred of them is expected
    with pytest.raises(UsageError, match=r"needs 1000 held-out images .* val has 120"):
        find_check("copy:0.001").prepared(context, ["Mass"])


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as xtrain saves it, with random weights."""
    path = tmp_path_factory.mktemp("judge") / "best:1.safetensors"
    model = model_of(("Edema", "Mass"), init="random", seed=0)
    path.write_bytes(save_weights(model, {"pathologies": ["Edema", "Mass"]}))
    return path


@pytest.mark.slow
def test_the_judge_rejects_what_it_does_not_see_at_its_sensitivity(
    classifier: Path, tmp_path: Path
) -> None:
    held = radiographs(20, 4)
    labels = np.array([[1, i < 3] for i in range(20)], np.int8)
    context = packed(tmp_path, val=(held, labels))
    check = find_check(f"judge:0.8:{classifier}")
    assert check.identity == f"judge:0.8:sha256:{sha256_file(classifier)}"
    assert find_check(f"judge:{classifier}").identity.startswith("judge:0.9:sha256:")
    judge = pickle.loads(pickle.dumps(check.prepared(context, ["Edema"])))
    reasons = judge(held, [sample(i, "Edema") for i in range(20)])
    assert sum(reason == "the judge does not see Edema" for reason in reasons) == 4
    assert judge(held[7:8], [sample(7, "Edema")])[0] == reasons[7]
    with pytest.raises(UsageError, match="3 held-out images have it, 10 are needed"):
        check.prepared(context, ["Mass"])


def test_a_damaged_judge_is_refused(classifier: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(classifier.read_bytes()[:1000])
    with pytest.raises(CheckError, match="is damaged or no classifier of xtrain"):
        find_check(f"judge:{cut}")


def test_an_image_is_not_drawn_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "MAX_REDRAWS", 3)

    def render(samples: Iterable[Sample]) -> Iterator[Bytes]:
        return (np.zeros((2, 2), np.uint8) for _ in samples)

    with pytest.raises(CheckError, match="4 images in a row were rejected for one label vector"):
        list(accepted(render, [sample(0)], judges=[constant], steps={"Mass": 1}))
