"""The versions and devices on which the bytes of a dataset depend."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from builder import generators
from builder.checks import Check
from builder.contract import UsageError
from builder.render import device_facts

_SOFTWARE = ("cxr-rebalance", "deflate", "numpy", "pillow", "pyarrow", "simplejpeg", "torch")


def software(
    generator: generators.Loaded | None = None, checks: Sequence[Check] = ()
) -> dict[str, str]:
    """The versions on which bytes depend, those of the generator's and the checks' own libraries.

    With a generator, `device_facts` of where it renders, too. UsageError where one of the libraries
    is not installed.
    """
    versions = _versions(_SOFTWARE, "cxr-rebalance")
    if generator is None:
        return versions
    versions |= _versions(
        getattr(generator.generator, "software", ()), f"The generator {generator.name}"
    )
    for check in checks:
        versions |= _versions(getattr(check, "software", ()), f"The check {check.identity}")
    return {**versions, **device_facts(generator.generator)}


def _versions(names: Sequence[str], whose: str) -> dict[str, str]:
    try:
        return {name: version(name) for name in names}
    except PackageNotFoundError as error:
        raise UsageError(
            f"{whose} names {error.name} as software that it needs, which is not installed: "
            f"pip install {error.name}, or correct its `software`."
        ) from None
