"""A real Chromium and a real service for tests of the page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests import tiny
from tests.service.image_files import grey
from tests.serving import ROOT, served

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
needs_chromium = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}: apt-get install it"
)
SIZES = {"phone": (390, 844), "laptop": (1280, 800), "large": (1920, 1080)}
XRAY = ROOT / "models/starter/pneumonia/1.0.0/sample.png"
NUCLEI = ROOT / "models/starter/nuclei/1.0.0/sample.png"
LIMIT = 5_000_000  # bytes of an upload
expect.set_options(timeout=20_000)  # the machine may be busy


@contextmanager
def chromium() -> Iterator[Browser]:
    """--no-sandbox: as root, in CI's container, Chromium has no other way."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, *, size: str = "laptop", dark: bool = False) -> Iterator[Page]:
    """Opens a new page; any error that the browser reports fails the test at the end."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        has_touch=size == "phone",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(url)
    yield page
    context.close()
    # The browser itself logs failed requests on the console; the page shows their messages.
    assert [said for said in complaints if not said.startswith("Failed to load resource")] == []


def models(folder: Path) -> Path:
    """Writes the starter packages, a sequence model, a fast segmenter, and one with a taxonomy and a plot."""
    for package in (ROOT / "models/starter").iterdir():
        shutil.copytree(package, folder / package.name)
    classes = [
        {"label": "dark", "name": "Dark", "parent": "seen"},
        {"label": "bright", "name": "Bright", "parent": "seen"},
    ]
    tiny.bases(folder)
    tiny.blobs(folder)
    tiny.corners(folder)
    tiny.stains(folder)
    package = tiny.brightness(
        folder,
        name="taxonomy",
        classes=[*classes, {"label": "neither", "name": "Neither"}],
        nodes=[{"label": "seen", "name": "Seen"}],
    )
    description = package.folder / "rdf.yaml"
    description.write_text(description.read_text().replace("    attachments: []", "    attachments: [calibration.png]"))
    (package.folder / "calibration.png").write_bytes(grey(204))
    return folder


@contextmanager
def service(folder: Path, **variables: str) -> Iterator[str]:
    """Runs the service on those models -> its address."""
    (folder / "models").mkdir()
    packages = models(folder / "models")
    with served(folder / "log", STRIATE_MODELS=str(packages), STRIATE_DEVICE="cpu", **variables) as (http, _):
        yield str(http.base_url).rstrip("/")


def take_sample(page: Page, model: str) -> None:
    """Clicks a model's first sample and waits for the result."""
    page.get_by_role("button", name=f"Sample 1 of {model}").click()
    expect(page.locator(".verdict").first).to_be_visible()


PLACE = """() => {
    const canvas = document.querySelector("#view canvas"), box = canvas.getBoundingClientRect();
    return [box.x, box.y, box.width / canvas.width];
}"""


def bring(page: Page, name: str, content: bytes, *, model: str = "pneumonia") -> None:
    page.select_option("#model", model)
    page.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": content})


def point_at(page: Page, x: int, y: int) -> str:
    """Moves the pointer to the centre of a pixel of the image -> the text of the read-out."""
    left, top, pixel = page.evaluate(PLACE)
    page.mouse.move(left + (x + 0.5) * pixel, top + (y + 0.5) * pixel)
    return page.locator("#readout").inner_text()


def downloaded(page: Page, button: Locator) -> bytes:
    with page.expect_download() as started:
        button.click()
    return Path(started.value.path()).read_bytes()


def percent(share: float) -> str:
    """Formats a share like the page: one decimal, never rounded to 0 % or 100 %."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < share < 1 else f"{share:.1%}".replace("%", " %")


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until the element has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab never came to {selector}")


def asked(url: str, path: str, image: bytes, **fields: str) -> httpx.Response:
    return httpx.post(url + path, files={"image": image}, data=fields, timeout=60).raise_for_status()
