"""The rules of the house, so that the directory listing stays the pipeline."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILDER = (
    "contract",
    "plugin",
    "store",
    "progress",
    "labels",
    "split",
    "plan",
    "draw",
    "recipe",
    "render",
    "generators",
    "pack",
    "checks",
    "write",
    "software",
    "claim",
    "engines",
    "seal",
    "verify",
    "audit",
    "gallery",
    "blueprint",
    "build",
    "share",
    "fitgan",
    "cli",
)
TRAINER = (
    "recipe",
    "progress",
    "stream",
    "arms",
    "pretrained",
    "model",
    "fit",
    "evaluate",
    "predict",
    "cam",
    "report",
    "sweep",
    "config",
    "claim",
    "train",
    "experiment",
    "cli",
)
SHARED = ("builder.contract", "builder.store")  # what trainer may import of builder
JUDGES = (
    "builder.verify",
    "builder.audit",
    "builder.gallery",
)  # they read sealed shards and nothing else
ORDER = [*(f"builder.{name}" for name in BUILDER), *(f"trainer.{name}" for name in TRAINER)]


def sources() -> list[Path]:
    return sorted(p for folder in ("builder", "trainer") for p in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def step_of(module: str) -> str | None:
    """The step a module belongs to: the longest entry of ORDER that it lies in."""
    return next((step for step in ORDER if module == step or module.startswith(f"{step}.")), None)


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_no_step_imports_a_later_one(path: Path) -> None:
    own = step_of(module_of(path))
    if own is None:
        assert module_of(path) in ("builder", "trainer"), (
            f"{path} is no step of the pipeline: add it"
        )
        return
    for name in imports(path):
        step = step_of(name)
        if step and step.split(".")[0] == own.split(".")[0]:
            assert ORDER.index(step) <= ORDER.index(own), f"{own} imports the later {step}"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_builder_and_trainer_share_contract_and_store_alone(path: Path) -> None:
    module, names = module_of(path), imports(path)
    if module.startswith("builder"):
        assert not {name for name in names if name.split(".")[0] == "trainer"}
    else:
        foreign = {name for name in names if name.split(".")[0] == "builder"}
        assert {step_of(name) for name in foreign} <= {*SHARED}, foreign


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_the_shared_core_imports_nothing_else_of_builder(path: Path) -> None:
    if step_of(module_of(path)) in SHARED:
        assert {step_of(name) for name in imports(path)} <= {None, *SHARED}


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_the_judges_do_not_hold_the_pen(path: Path) -> None:
    if step_of(module_of(path)) in JUDGES:
        steps = {step_of(name) for name in imports(path)} - {None}
        assert steps <= {*SHARED, "builder.progress", "builder.audit", "builder.gallery"}


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_what_judges_found_reaches_others_as_a_record(path: Path) -> None:
    rooms = {"builder.audit", "builder.gallery"}
    if step_of(module_of(path)) not in {*rooms, "builder.cli"}:
        assert not {step_of(name) for name in imports(path)} & rooms


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_click_stays_in_cli(path: Path) -> None:
    clicks = {name for name in imports(path) if name.split(".")[0] == "click"}
    assert "cli" in module_of(path).split(".") or not clicks


def test_no_junk_drawers() -> None:
    drawers = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert not [path for path in sources() if path.stem in drawers]


@pytest.mark.parametrize(
    "words",
    [
        ["xbuild", "--help"],
        ["xbuild", "synth", "--help"],
        ["xbuild", "plan", "--dataset", "chexpert", "--regime", "1"],
        ["xtrain", "--help"],
        ["xtrain", "fit", "--help"],
        ["xtrain", "sweep", "--help"],
        ["xtrain", "paper", "--help"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    package = "builder" if words[0] == "xbuild" else "trainer"
    code = (
        f"import sys; from {package}.cli import main; sys.argv = {words!r}\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'torchxrayvision', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_a_sweep_needs_optuna() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['optuna', 'sqlalchemy', 'alembic']))\n"
        "import trainer.train, trainer.experiment, trainer.config\n"
        "from builder.contract import UsageError\n"
        "try: trainer.train.sweep(*[None] * 4)\n"
        "except UsageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == (
        "xtrain sweep needs optuna, which is not installed: pip install optuna.\n"
    ), done.stderr
