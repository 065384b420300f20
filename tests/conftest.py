"""Set-up that the tests of both packages share."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from builder.contract.lock import hold

# The same examples in every run, however slow the machine is.
settings.register_profile(
    "same",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("same")


@pytest.fixture
def locked() -> Callable[[Path], AbstractContextManager[None]]:
    """A folder's lock, held as another process would."""

    @contextmanager
    def elsewhere(folder: Path) -> Iterator[None]:
        with ThreadPoolExecutor(1) as thread:
            lock = hold(folder, wait=None)
            assert thread.submit(lock.__enter__).result()
            try:
                yield
            finally:
                thread.submit(lock.__exit__, None, None, None).result()

    return elsewhere
