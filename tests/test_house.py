"""Sizes, names and places that keep the house easy to read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES, MAX_FUNCTION = 300, 60
OLD_NAMES = (  # names that the field does not use; each has a better one
    *("fewest", "FEWEST", "LEAST", "most_per_real", "made_ahead", "Pace", "crew", "fleet"),
    *("accept", "judge", "likeness", "kept", "beside", "groups", "team", "together"),
)


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", files("builder", "trainer", "tests"), ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES
    for function in functions(path):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= MAX_FUNCTION, function.name


@pytest.mark.parametrize("path", files("tests"), ids=name_of)
def test_tests_are_annotated(path: Path) -> None:
    for function in functions(path):
        arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
        bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        assert not bare, f"{function.name}: {bare}"
        assert function.returns is not None, function.name


@pytest.mark.parametrize("path", files("builder", "trainer"), ids=name_of)
def test_records_flow_not_dictionaries(path: Path) -> None:
    """Outside the contract, which reads the files of strangers."""
    if "contract" in path.parts:
        return
    for function in functions(path):
        annotations = [a.annotation for a in ast.walk(function.args) if isinstance(a, ast.arg)]
        said = [ast.unparse(kind) for kind in (*annotations, function.returns) if kind is not None]
        assert not any("dict[str, Any]" in kind for kind in said), function.name


@pytest.mark.parametrize("path", files("builder", "trainer"), ids=name_of)
def test_names_are_the_fields(path: Path) -> None:
    tree = ast.parse(path.read_text())
    defined = {path.stem, *(getattr(node, "name", "") for node in tree.body)}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert not defined & {*OLD_NAMES}
    assert not {name for name in defined if name.lstrip("_").startswith(("MOST_", "most_"))}


def test_every_module_has_its_tests() -> None:
    """tests/PACKAGE/ROOM/test_MODULE.py; an `__init__` with code is tested by its room."""
    missing = []
    for path in files("builder", "trainer"):
        relative = path.relative_to(ROOT)
        if path.name == "__init__.py":
            continue
        if not (ROOT / "tests" / relative.with_name(f"test_{path.name}")).is_file():
            missing.append(relative.as_posix())
    assert not missing


def test_the_tests_run_without_a_gpu_wherever_they_run() -> None:
    """Some demand equal bits, which a GPU gives only for equal batches."""
    text = (ROOT / "Makefile").read_text()
    lines = [line for line in text.splitlines() if "-m pytest" in line and line[0] == "\t"]
    assert lines
    assert all(line.startswith("\tCUDA_VISIBLE_DEVICES= ") for line in lines), lines
