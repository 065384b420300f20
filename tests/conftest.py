"""Set-up that the tests of both packages share."""

import importlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from builder.contract.audit import (
    Agreement,
    Audit,
    Clue,
    Copies,
    Figure,
    Interval,
    Nearness,
    Planted,
    Quality,
    Rare,
    Shortcuts,
    Suspect,
    Told,
)
from builder.contract.lock import hold

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",  # a container's /dev/shm is small
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(__file__).parents[1] / "build/axe/node_modules/axe-core/axe.min.js"

# The same examples in every run, however slow the machine is.
settings.register_profile(
    "same",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("same")

# A run in the background of a script ignores Ctrl-C, and so would every command that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def benchmark_script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """The function that imports a script of benchmarks/ as a module: (its name)."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


@pytest.fixture
def bearable() -> Callable[[], AbstractContextManager[None]]:
    """A block that may take 300 MB above what the process has, and 5 seconds of its time."""
    facts, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def kilobytes(name: str) -> int:
        lines = facts.read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])

    @contextmanager
    def watch() -> Iterator[None]:
        try:
            reset.write_text("5")  # the peak counts from here
        except OSError:
            pytest.skip("the peak of memory can be reset on Linux alone")
        before, begun = kilobytes("VmRSS"), time.process_time()
        yield
        assert time.process_time() - begun < 5
        assert kilobytes("VmHWM") - before < 300_000

    return watch


@pytest.fixture
def locked() -> Callable[..., AbstractContextManager[None]]:
    """A folder's lock, held as another process would."""

    @contextmanager
    def elsewhere(folder: Path, *, shared: bool = False) -> Iterator[None]:
        with ThreadPoolExecutor(1) as thread:
            lock = hold(folder, wait=None, shared=shared)
            assert thread.submit(lock.__enter__).result()
            try:
                yield
            finally:
                thread.submit(lock.__exit__, None, None, None).result()

    return elsewhere


@pytest.fixture(scope="session")
def audit() -> Audit:
    """An audit with every part, as one of a good dataset would be."""
    likely = Interval(value=0.5, low=0.4, high=0.6)
    figure = Figure(
        name="kid",
        found=Interval(value=0.012, low=0.010, high=0.014),
        floor=Interval(value=0.001, low=0.0, high=0.002),
        synthetic=400,
        real=500,
        patients=300,
        differs=True,
    )
    told = Told(
        kinds=("real", "synthetic"), treatment="none", auc=likely, floor=likely, n=(500, 400)
    )
    agreed = Agreement(
        target="Mass",
        classifier="a probe",
        synthetic=likely,
        real=likely,
        positives=200,
        negatives=200,
        real_positives=50,
        real_negatives=500,
        tells=True,
        disagrees=False,
    )
    return Audit(
        schema=1,
        name="gan100",
        digest="a" * 64,
        real="a" * 64,
        seed=0,
        settings={"sample": 5000.0, "told": 0.6},
        software={"cxr-rebalance": "0.1.0"},
        summary=("One.", "Two.", "Three.", "Four.", "Five."),
        quality=Quality(extractor="pixels", compared="two sets", figures=(figure,)),
        agreement=(agreed,),
        shortcuts=Shortcuts(
            extractor="pixels",
            alike="label vectors",
            origin=(told, replace(told, treatment="blurred")),
            clues=(Clue(name="sharpness", auc=likely, means=(1.0, 2.0)),),
            sources=(replace(told, kinds=("ap", "pa")),),
            told=False,
        ),
        copies=_copies(),
        nearness=Nearness(share=likely, synthetic=400, real=100),
        rare=Rare(
            fewer_than=5, vectors=1, synthetic=3, listed=((("Mass", "Edema"), 2, 3), ((), 1, 0))
        ),
        notes=("A part is absent.",),
    )


def _copies() -> Copies:
    return Copies(
        threshold=0.9,
        synthetic=400,
        train=500,
        held_out=100,
        accused=1,
        suspects=2,
        listed=(
            Suspect(key="gan100-mass-0000001", of="real-0000000000000001", similarity=0.99),
            Suspect(key="gan100-mass-0000002", of="real-0000000000000002", similarity=0.95),
        ),
        planted=(
            Planted(kind="jpeg", planted=100, found=100),
            Planted(kind="inversion", planted=100, found=0),
        ),
        duplicates=1,
        duplicates_listed=(
            Suspect(key="gan100-mass-0000003", of="gan100-mass-0000001", similarity=0.97),
        ),
    )


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium, as Debian packages it, driven by selenium; it keeps every message."""
    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip("Debian's chromium-driver is missing")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def requested(browser: Any) -> Callable[[], list[str]]:
    """The addresses that pages asked for since the last call, whatever came of it."""

    def found() -> list[str]:
        events = [
            json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
        ]
        asked = [each for each in events if each["method"] == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in asked]

    return found


@pytest.fixture
def bucket_name() -> str:
    """That of a bucket no other test has; a port, by contrast, may come again."""
    return f"bucket-{uuid4().hex}"


@pytest.fixture(scope="session")
def barriers(browser: Any) -> Callable[[], list[str]]:
    """What axe-core finds serious in the open page, for people who do not see or use no mouse."""
    if not AXE.is_file():
        pytest.skip("axe-core is missing: make axe fetches it")
    script = (
        f"{AXE.read_text(encoding='utf-8')}\nconst done = arguments[arguments.length - 1];"
        "const how = {resultTypes: ['violations'], preload: false};"  # it would fetch style sheets
        "axe.run(document, how).then(found => done(found.violations))"
    )

    def found() -> list[str]:
        return [
            f"{rule['id']}: {node['html'][:200]}"
            for rule in browser.execute_async_script(script)
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    return found
