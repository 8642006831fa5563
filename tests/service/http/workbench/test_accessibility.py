"""Accessibility and speed of the page, in both colour schemes and at every width."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from models.image import Array
from service.encode.png_writer import png
from tests.service.http.workbench.browser import SIZES, bring, needs_chromium, opened, take_sample
from tests.serving import ROOT

NUCLEI = ROOT / "models/starter/nuclei/1.0.0/sample.png"
pytestmark = [pytest.mark.browser, needs_chromium]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
TRANSFERRED = """() => performance.getEntries()
    .filter((entry) => entry.transferSize && /^\\/(web\\/.*)?$/.test(new URL(entry.name).pathname))
    .reduce((sum, entry) => sum + entry.transferSize, 0)"""
DRAG = """async ([selector, count]) => {
    const slider = document.querySelector(selector);
    let painted = 0;
    const canvas = CanvasRenderingContext2D.prototype;
    for (const name of ["putImageData", "drawImage"]) {
        const paint = canvas[name];
        canvas[name] = function (...given) { painted++; paint.apply(this, given); };
    }
    for (let i = 0; i < count; i++) {
        slider.value = i % 100;
        slider.dispatchEvent(new Event("input"));
        await new Promise(requestAnimationFrame);
    }
    return painted;
}"""


def states(page: Page) -> Iterator[str]:
    """Visits the page's main states."""
    expect(page.locator(".sample").last).to_be_visible()
    yield "start"
    take_sample(page, "digits")
    page.get_by_text("Show the call").click()
    page.locator(".stage-box").nth(1).click()
    expect(page.locator(".maps canvas")).to_be_visible()
    yield "classified"
    page.select_option("#model", "nuclei")
    page.set_input_files("#file", NUCLEI)
    expect(page.locator(".objects")).to_be_visible()
    yield "segmented"
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"Dear diary"})
    expect(page.locator(".problem")).to_be_visible()
    yield "invalid"
    page.get_by_role("link", name="Many images").click()
    page.set_input_files("#many-files", {"name": "a.png", "mimeType": "image/png", "buffer": b"Dear diary"})
    expect(page.locator(".failures li")).to_be_visible()
    yield "many"
    page.get_by_role("link", name="Models").click()
    expect(page.locator(".limits h4").first).to_be_visible()
    yield "models"


@pytest.mark.parametrize(("size", "dark"), [("phone", False), ("laptop", True), ("large", False)])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    browser: Browser, url: str, size: str, dark: bool
) -> None:
    with opened(browser, url, size=size, dark=dark) as page:
        for state in states(page):
            found = Axe().run(page, options=RULES)
            assert found.violations_count == 0, (state, found.generate_report())
            assert page.evaluate("() => document.documentElement.scrollWidth") <= SIZES[size][0], state


def test_the_page_is_light_and_soon_there(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        expect(page.locator(".sample").last).to_be_visible()
        sent = page.evaluate(TRANSFERRED)
        paint, html = page.evaluate(
            """() => [performance.getEntriesByName("first-contentful-paint")[0].startTime,
                performance.getEntriesByType("navigation")[0].responseEnd]"""
        )
    print(f"{sent} bytes; first paint {paint - html:.0f} ms after the HTML")  # noqa: T201
    assert 20_000 < sent < 150_000
    assert paint - html < 2000  # 200 ms where nothing else runs


DRAWN = "Graphics.Pipeline.DrawAndSwap"
SPOTS = np.kron(np.indices((128, 128)).sum(0) % 2, np.full((16, 16), 255)).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 255, (2048, 2048), np.uint8)


@pytest.mark.parametrize(
    ("model", "layer", "slider", "pixels"),
    [("pneumonia", "map", "#map-opacity", NOISE), ("blobs", "areas", "#mask-opacity", SPOTS)],
    ids=["map", "mask"],
)
def test_the_opacity_of_a_large_overlay_moves_at_frame_rate(
    browser: Browser, url: str, model: str, layer: str, slider: str, pixels: Array
) -> None:
    """Measured by the browser's own timeline of drawn frames."""
    with opened(browser, url) as page:
        bring(page, "large.png", png(pixels), model=model)
        overlay = page.locator(f"#view canvas.{layer}")
        expect(overlay).to_have_js_property("width", 2048, timeout=120_000)
        browser.start_tracing(page=page, categories=["benchmark"])
        painted = page.evaluate(DRAG, [slider, 60])
        events = json.loads(browser.stop_tracing())["traceEvents"]
        expect(overlay).to_have_css("opacity", "0.59")
    drawn = [event["ts"] / 1000 for event in events if (event["name"], event["ph"]) == (DRAWN, "b")]
    assert len(drawn) > 30
    frames = np.sort(np.diff(sorted(drawn)))
    print(f"{layer}: frames of {np.median(frames):.1f} ms in the middle, {frames[-3]:.1f} ms the third longest")  # noqa: T201
    assert painted == 0  # the compositor alone is at work
    assert np.median(frames) < 1000  # 17 ms where nothing else runs
