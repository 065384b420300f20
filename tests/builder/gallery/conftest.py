"""A sealed dataset of 60 real images and some synthetic ones, opened once, and its gallery."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builder.audit.pictures import Sealed, open_sealed
from builder.contract.audit import Audit, Suspect
from builder.gallery.write import Gallery, write_gallery
from builder.progress import Advance

Write = Callable[..., Gallery]


@contextmanager
def quiet(title: str, total: int, unit: str = "images") -> Iterator[Advance]:
    """No bar; it must end full."""
    done: list[int] = []
    yield done.append
    assert sum(done) == total, (title, unit)


@pytest.fixture(scope="session")
def opened(sealed_once: Path) -> Sealed:
    return open_sealed(sealed_once / "manifests" / "gan100.json")


@pytest.fixture(scope="session")
def audited(audit: Audit, opened: Sealed) -> Audit:
    """An audit of that dataset: the first synthetic image may be a copy of the first real one."""
    assert audit.copies is not None
    keys = {
        origin: opened.index.key[opened.index.origin == origin] for origin in ("real", "synthetic")
    }
    fake, true = keys["synthetic"], keys["real"]
    copies = replace(
        audit.copies,
        suspects=3,
        listed=(
            Suspect(key=fake[0], of=true[0], similarity=0.99),
            Suspect(key=fake[1], of="elsewhere", similarity=0.95),
        ),
        duplicates=1,
        duplicates_listed=(Suspect(key=fake[2], of=fake[0], similarity=0.97),),
    )
    return replace(audit, digest=opened.manifest.digest, copies=copies)


@pytest.fixture(scope="session")
def write(opened: Sealed) -> Write:
    """Writes the gallery of that dataset: (folder, audit=, synthetic_only=, side=) → Gallery."""

    def to(
        folder: Path,
        audit: Audit | None = None,
        synthetic_only: bool = False,
        side: int | None = None,
        sealed: Sealed = opened,
    ) -> Gallery:
        return write_gallery(
            sealed, folder, audit=audit, synthetic_only=synthetic_only, side=side, show=quiet
        )

    return to


# The page has taken up another address, and its images were drawn.
GO = """
const [hash, done] = arguments, start = performance.now();
const tell = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
if ((location.hash || "#") === hash) return done(0);
addEventListener("hashchange", tell, {once: true});
location.hash = hash;
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A gallery in a browser."""

    browser: Any

    def open(self, folder: Path) -> None:
        self.browser.get("about:blank")
        self.browser.get((folder / "index.html").as_uri())

    def resize(self, width: int) -> None:
        how = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)

    def paint(self, theme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def go(self, place: str) -> float:
        """The milliseconds that it took."""
        return float(self.browser.execute_async_script(GO, place))

    def wait(self, milliseconds: int = 50) -> None:
        self.browser.execute_async_script("setTimeout(arguments[1], arguments[0])", milliseconds)

    def ask(self, script: str) -> Any:
        return self.browser.execute_script(f"return {script}")

    def one(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def found(self) -> int:
        return int(self.one("#status").text.split(" of ")[0].replace(",", ""))

    def here(self) -> list[int]:
        """Row and column of the thumbnail with the focus, from 1."""
        cell = "document.activeElement"
        numbers = self.ask(f"[{cell}.parentElement.ariaRowIndex, {cell}.ariaColIndex]")
        return [int(each) for each in numbers]


@pytest.fixture(scope="session")
def folder(write: Write, audited: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("view") / "gallery", audit=audited).page.parent


@pytest.fixture
def page(browser: Any, folder: Path) -> Iterator[Page]:
    """The gallery as it opens, in a window of 1280 pixels; it must leave no message."""
    page = Page(browser)
    page.resize(1280)
    page.paint("light")
    browser.get("about:blank")
    browser.get_log("browser")  # what another test left
    page.open(folder)
    page.wait(100)  # samples.js
    yield page
    assert browser.get_log("browser") == []
