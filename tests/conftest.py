"""Set-up that the tests of both packages share."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from builder.contract.lock import hold


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
