"""The view of many images: five hundred images, and an overloaded service."""

import csv
import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Response, expect
from sklearn.datasets import load_digits

from service.encode.png_writer import png
from service.errors import QueueFull
from tests.service.http.workbench.browser import downloaded, needs_chromium, opened, tab_to
from tests.serving import ROOT, served

pytestmark = [pytest.mark.browser, needs_chromium]
SAMPLES = ROOT / "models/starter"
XRAY = SAMPLES / "pneumonia/1.0.0/sample.png"
SENTENCE = re.sub(r"\d+", r"\\d+", re.escape(str(QueueFull(1))))  # with any numbers
DAMAGED = {7: b"Dear diary", 250: b"", 499: XRAY.read_bytes()[:9000]}
OBJECT_URLS = """() => {
    let open = 0;
    const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
    URL.createObjectURL = (file) => (open++, create.call(URL, file));
    URL.revokeObjectURL = (url) => (open--, revoke.call(URL, url));
    window.objectUrls = () => open;
}"""
LONGEST_TASK = """() => {
    window.longest = 0;
    new PerformanceObserver((seen) => {
        for (const { duration } of seen.getEntries()) window.longest = Math.max(window.longest, duration);
    }).observe({ type: "longtask" });
}"""
PAINTED = """() => [...document.querySelectorAll(".grid canvas")].filter((canvas) =>
    canvas.getContext("2d").getImageData(80, 80, 1, 1).data[3]).length"""
SORTED_IN = """() => {
    const started = performance.now(), sort = document.querySelector("#many-sort");
    sort.value = "value";
    sort.dispatchEvent(new Event("change"));
    document.body.offsetHeight;
    return performance.now() - started;
}"""


def five_hundred(folder: Path) -> Path:
    """Writes real handwritten digits, three of them damaged."""
    folder.mkdir()
    digits = load_digits()
    for i, (picture, label) in enumerate(zip(digits.images[:500], digits.target)):
        content = DAMAGED.get(i, png((picture * 15.9).astype(np.uint8)))
        (folder / f"{i:03d}-{label}.png").write_bytes(content)
    return folder


def nodes(page: Page) -> int:
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    return int(devtools.send("Memory.getDOMCounters")["nodes"])


def test_five_hundred_images_are_answered_sorted_and_given_back(browser: Browser, url: str, tmp_path: Path) -> None:
    folder = five_hundred(tmp_path / "digits")
    with opened(browser, url) as page:
        page.evaluate(OBJECT_URLS)
        page.get_by_role("link", name="Many images").click()
        page.select_option("#many-model", "digits")
        page.evaluate(LONGEST_TASK)
        page.set_input_files("#many-folder", folder)
        expect(page.get_by_text("500 of 500 done, 3 failed.")).to_be_visible(timeout=240_000)
        longest = page.evaluate("() => window.longest")
        assert page.locator("#many progress").evaluate("(bar) => [bar.value, bar.max]") == [500, 500]
        failures = page.locator(".failures li strong")
        expect(failures).to_have_count(3)
        assert sorted(failures.all_inner_texts()) == [f"digits/{sorted(folder.iterdir())[i].name}" for i in DAMAGED]

        rows = list(csv.DictReader(io.StringIO(downloaded(page, page.get_by_text("Results (CSV)")).decode())))
        assert len({row["file"] for row in rows}) == len(rows) == 500
        right = sum(row["result"] == row["file"][-5] for row in rows if not row["error"])
        assert right > 450
        counts = dict(part.rsplit(" ", 1) for part in page.locator(".tally").inner_text().split(" \u00b7 "))
        assert sum(map(int, counts.values())) == 497

        tiles = page.locator(".grid li")
        page.wait_for_function(f"() => ({PAINTED})() > 10")
        assert page.evaluate(PAINTED) < 200  # the others are painted when they come near
        last = tiles.last.locator("canvas")
        last.scroll_into_view_if_needed()
        page.wait_for_function(
            "(canvas) => canvas.getContext('2d').getImageData(80, 80, 1, 1).data[3] === 255", arg=last.element_handle()
        )
        sorting = page.evaluate(SORTED_IN)
        values = {row["file"]: float(row["value"]) for row in rows if row["value"]}
        most, least = [
            values[f"digits/{tile.locator('.filename').last.inner_text()}"] for tile in (tiles.first, tiles.last)
        ]
        assert (most, least) == (max(values.values()), min(values.values()))
        print(f"500 images: {right} right; the longest task {longest:.0f} ms; sorted in {sorting:.0f} ms")  # noqa: T201

        before = nodes(page)
        page.set_input_files("#many-files", sorted(folder.iterdir())[:3])
        expect(page.get_by_text("3 of 3 done.")).to_be_visible()
        assert page.evaluate("() => window.objectUrls()") <= 1  # the CSV's own, for ten seconds
        assert nodes(page) < before / 2  # the 500 tiles are gone


def test_what_is_beyond_five_hundred_is_left_out_and_said(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "plate"
    folder.mkdir()
    for i in range(503):
        (folder / f"{i}.png").write_bytes(png(np.full((8, 8), i % 256, np.uint8)))
    page.get_by_role("link", name="Many images").click()
    page.select_option("#many-model", "taxonomy")
    page.set_input_files("#many-folder", folder)
    expect(page.get_by_text(" of 500 done. 3 more were skipped: the limit is 500.")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped: ")).to_be_visible()
    answered = page.locator(".grid li").count()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(300)
    assert (page.locator(".grid li").count(), asked) == (answered, [])


def test_many_images_are_asked_about_by_the_keyboard(page: Page) -> None:
    page.get_by_role("link", name="Many images").press("Enter")
    tab_to(page, "#many-model")
    page.keyboard.type("tax")
    expect(page.locator("#many-model")).to_have_value("taxonomy")
    for chooser in ("#many-files", "#many-folder"):
        tab_to(page, chooser)  # the button around it shows the focus
    with page.expect_file_chooser() as opened_chooser:
        page.locator("#many-files").press("Enter")
    files = [
        {"name": f"{value}.png", "mimeType": "image/png", "buffer": png(np.full((8, 8), value, np.uint8))}
        for value in (30, 250, 10)
    ]
    opened_chooser.value.set_files(files)
    expect(page.get_by_text("3 of 3 done.")).to_be_visible()
    tab_to(page, "#many-sort")
    page.keyboard.press("ArrowDown")  # by name
    expect(page.locator(".filename")).to_have_text(["10.png", "30.png", "250.png"])
    page.keyboard.press("Tab")
    with page.expect_download():
        page.keyboard.press("Enter")


@pytest.fixture(scope="module")
def small_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with a queue of one image."""
    log = tmp_path_factory.mktemp("small_queue") / "log"
    variables = {"STRIATE_MODELS": str(SAMPLES), "STRIATE_DEVICE": "cpu", "STRIATE_QUEUE_LENGTH": "1"}
    with served(log, **variables) as (http, _):
        yield str(http.base_url).rstrip("/")


@contextmanager
def background_load(url: str) -> Iterator[None]:
    """Sends requests from other callers without a pause."""
    enough = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=60) as http:
            while not enough.is_set():
                http.post(f"{url}/predict", files={"image": XRAY.read_bytes()}, data={"model": "pneumonia"})

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def test_a_full_queue_is_told_in_the_service_s_words(browser: Browser, small_queue: str) -> None:
    with opened(browser, small_queue) as page:
        page.select_option("#model", "pneumonia")
        alert = page.get_by_role("alert")
        with background_load(small_queue):
            for _ in range(50):
                with page.expect_response(lambda answer: answer.url.endswith("/predict")) as answered:
                    page.set_input_files("#file", XRAY)
                if answered.value.status == 429:
                    break
            expect(alert).to_contain_text(answered.value.json()["error"])
        assert answered.value.json()["code"] == "queue_full"
        expect(alert).to_contain_text(f"in {answered.value.headers['retry-after']} s.")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".verdict")).to_have_text("pneumonia")
        expect(alert).to_be_empty()


def test_many_images_wait_for_a_full_queue_and_all_are_answered(browser: Browser, small_queue: str) -> None:
    with opened(browser, small_queue) as page:
        page.get_by_role("link", name="Many images").click()
        page.select_option("#many-model", "pneumonia")
        refused: list[Response] = []
        page.on("response", lambda answer: refused.append(answer) if answer.status == 429 else None)
        files = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": XRAY.read_bytes()} for i in range(16)]
        page.set_input_files("#many-files", files)
        waits = page.locator("#many .notice")
        expect(waits).to_have_text(re.compile(rf"^{SENTENCE} Retrying in \d+ s\.$"))
        expect(page.get_by_text("16 of 16 done.", exact=True)).to_be_visible(timeout=120_000)
        expect(waits).to_have_count(0)
        expect(page.locator(".tally")).to_have_text("pneumonia 16")
    print(f"16 images, {len(refused)} times refused")  # noqa: T201
    assert refused
