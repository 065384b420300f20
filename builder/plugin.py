"""Code of other packages: what it raises, said in one sentence, and which code it is."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from traceback import walk_tb

from builder.contract import CheckError, Refusal, Stopped, UsageError, printable, sha256_file

MAX_FILES = 5_000  # of the code of a package


@contextmanager
def plugin_code(
    module: str,
    what: str,
    then: str,
    kind: type[Refusal] = CheckError,
    *,
    memory: bool = False,
) -> Iterator[None]:
    """Say what code of another package raises in one sentence, as `kind`: `what`, why, `then`.

    Refusals pass; so does a lack of memory where `memory`. What a `module` of this project raises
    is a fault, and passes, too.
    """
    try:
        yield
    except (Refusal, Stopped):
        raise
    except Exception as error:
        lacks = isinstance(error, RuntimeError) and is_out_of_memory(error)
        if module.partition(".")[0] == "builder" or (memory and lacks):
            raise
        why = printable(" ".join(str(error).split()))
        said = f" ({why})" if why else ""
        where = _line(error, module)
        raise kind(f"{what}: it raised {type(error).__name__}{where}{said}; {then}.") from error


def _line(error: Exception, module: str) -> str:
    """The last line of the module's package that the error came through; "" where it is unknown."""
    package = module.partition(".")[0]
    found = ""
    for frame, line in walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package:
            found = f" in line {line} of {Path(frame.f_code.co_filename).name}"
    return found


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch's memory ran out, on a GPU or a CPU; torch is not imported for that."""
    full = "DefaultCPUAllocator: can't allocate memory" in str(error)
    return full or type(error).__name__ == "OutOfMemoryError"


def code_sha256(module: str, source: Path) -> str:
    """The sha256 of the module's code.

    Of a module of this project, or one in no package, it is that of all files of the folder whose
    names begin as the module's does; otherwise that of the Python files of its top package.
    UsageError where these are too many.
    """
    top = module.partition(".")[0]
    folders = list(getattr(sys.modules.get(top), "__path__", []))
    digest = hashlib.sha256()
    if top == "builder" or not folders:
        for file in sorted(source.parent.glob(f"{source.stem}*.py")):
            digest.update(file.read_bytes())
        return digest.hexdigest()
    for folder in map(Path, folders):
        files = sorted(islice(folder.rglob("*.py"), MAX_FILES + 1))
        if len(files) > MAX_FILES:
            raise UsageError(
                f"The package {top} has more than {MAX_FILES:,} Python files, which are all part "
                "of the identity of what it adds: put that into a package of its own."
            )
        for file in files:
            name = file.relative_to(folder).as_posix()
            digest.update(f"{sha256_file(file)}  {name}\n".encode())
    return digest.hexdigest()
