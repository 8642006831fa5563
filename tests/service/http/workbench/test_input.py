"""Image input and navigation: files, drops, wheel and touch."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Browser, Page, expect

from models.image import Array
from service.encode.png_writer import png
from tests.data import real_data
from tests.service.http.workbench.browser import bring, needs_chromium, opened, point_at, take_sample
from tests.service.image_files import tiff
from tests.serving import ROOT

pytestmark = [pytest.mark.browser, needs_chromium]
XRAY = ROOT / "models/starter/pneumonia/1.0.0/sample.png"
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 65536, (90, 130), np.uint16)  # LZW's table overflows and begins anew
SMOOTH = np.add.outer(np.arange(90), np.arange(130)).astype(np.uint16) * 30
FLAT = np.zeros((90, 130), np.uint8)  # each code of LZW stands for itself and its own first byte
COLOUR = RNG.integers(0, 256, (90, 130, 3), np.uint8)
LZW = {"compression": "lzw"}
DIFFERENCES = {"compression": "lzw", "predictor": 2}
TIFFS: dict[str, tuple[Array, dict[str, Any]]] = {
    "LZW, noise": (NOISE, LZW),
    "LZW, a ramp": (SMOOTH, LZW),
    "LZW, one value": (FLAT, LZW),
    "LZW, differences": (SMOOTH, DIFFERENCES),
    "LZW, differences, big-endian": (SMOOTH, {**DIFFERENCES, "byteorder": ">"}),
    "LZW, colour, differences": (COLOUR, DIFFERENCES),
    "LZW, strips": (NOISE, {**LZW, "rowsperstrip": 7}),
    "LZW, tiles": (COLOUR, {**DIFFERENCES, "tile": (32, 48)}),
    "BigTIFF": (NOISE, {"bigtiff": True}),
    "BigTIFF, big-endian": (NOISE, {"bigtiff": True, "byteorder": ">"}),
    "BigTIFF, LZW, tiles": (NOISE, {**DIFFERENCES, "tile": (32, 48), "bigtiff": True}),
    "deflate": (COLOUR, {"compression": "zlib"}),
    "signed": (SMOOTH.astype(np.int16) - 2000, LZW),
    "floats": (SMOOTH.astype(np.float32) / 7, LZW),
    "long floats": (SMOOTH / 7, {}),
    "white is zero": (SMOOTH, {"photometric": "miniswhite"}),
}
READ = """async (base64) => {
    const { decodeTiff } = await import("/web/tiff.js");
    const picture = await decodeTiff(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
    return { ...picture, values: [...picture.values] };
}"""


def test_a_tiff_s_pixels_are_those_that_tifffile_reads(page: Page) -> None:
    for case, (pixels, options) in TIFFS.items():  # on one page: to open one takes longer
        found = page.evaluate(READ, base64.b64encode(tiff(pixels, **options)).decode())
        expected = 65535 - pixels if "photometric" in options else pixels
        assert (found["height"], found["width"], found["kind"]) == (*pixels.shape[:2], str(pixels.dtype)), case
        read = np.array(found["values"], pixels.dtype).reshape(pixels.shape)
        np.testing.assert_array_equal(read, expected, err_msg=case)


def test_a_real_micrograph_is_shown_however_it_is_packed(page: Page) -> None:
    original = real_data("w2s_denoise/images_avg400_8bit")
    name = sorted(original.glob("*.tif"))[0]
    pixels = tifffile.imread(name)
    for kind, content in {
        "as it came": name.read_bytes(),
        "LZW": tiff(pixels, compression="lzw", predictor=2),
        "BigTIFF": tiff(pixels, bigtiff=True, compression="lzw"),
    }.items():
        bring(page, f"{kind}.tif", content, model="nuclei")
        expect(page.locator("#about")).to_contain_text(f"{kind}.tif: {pixels.shape[1]} \u00d7 {pixels.shape[0]}, uint8")
        for x, y in ((0, 0), (300, 17), (511, 511)):
            assert f"value {pixels[y, x]}" in point_at(page, x, y)
    expect(page.locator(".verdict")).to_contain_text("objects")


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[: len(content) // 2],
    "its directory is gone": lambda content: content[:4] + b"\xff\xff\xff\x7f" + content[8:],
    "other bytes": lambda content: content[:200] + b"\xff" * (len(content) - 200),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_tiff_is_not_shown_and_the_service_says_what_is_wrong(page: Page, case: str) -> None:
    bring(page, "bad.tif", DAMAGED[case](tiff(NOISE, compression="lzw")))
    expect(page.locator("#about")).to_contain_text("Not displayed: ")
    expect(page.get_by_role("alert")).to_contain_text("TIFF")


def at_pixel(page: Page, x: float, y: float) -> list[float]:
    """A position in image pixels -> left, top in the window, and the size of a pixel there."""
    return page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector("#view canvas"), box = canvas.getBoundingClientRect();
            const scale = box.width / canvas.width;
            return [box.x + x * scale, box.y + y * scale, scale];
        }""",
        [x, y],
    )


def test_the_wheel_zooms_about_the_pointer(page: Page) -> None:
    take_sample(page, "pneumonia")
    for x, y in ((40.5, 60.5), (180.5, 30.5)):
        left, top, before = at_pixel(page, x, y)
        page.mouse.move(left, top)
        for turn, larger in ((-300, True), (-120, True), (200, False)):
            page.mouse.wheel(0, turn)
            page.wait_for_function(
                "([larger, before]) => { const c = document.querySelector('#view canvas');"
                " const s = c.getBoundingClientRect().width / c.width; return larger ? s > before : s < before; }",
                arg=[larger, before],
            )
            moved_left, moved_top, before = at_pixel(page, x, y)
            assert (moved_left, moved_top) == pytest.approx((left, top), abs=2)  # a wheel's place is whole px
            assert f"x {int(x)}, y {int(y)}" in page.locator("#readout").inner_text()
        page.get_by_role("button", name="Fit").click()


# Two fingers, from -> to, from the middle of the image in CSS pixels.
PINCHES = {
    "apart": (((-40, 0), (40, 0)), ((-80, 0), (80, 0)), 2.0),
    "apart, upright": (((0, -40), (0, 40)), ((0, -80), (0, 80)), 2.0),
    "together": (((-80, -60), (80, 60)), ((-40, -30), (40, 30)), 0.5),
    "apart and away": (((-40, 0), (40, 0)), ((-50, 30), (110, 30)), 2.0),
}


@pytest.mark.parametrize("case", PINCHES)
def test_two_fingers_zoom_and_hold_what_is_under_them(browser: Browser, url: str, case: str) -> None:
    starts, ends, grows = PINCHES[case]
    with opened(browser, url, size="phone") as page:
        take_sample(page, "pneumonia")
        page.locator("#view").scroll_into_view_if_needed()
        scrolled = page.evaluate("() => scrollY")
        left, top, before = at_pixel(page, 112, 112)
        devtools = page.context.new_cdp_session(page)

        def touch(kind: str, share: float) -> None:
            points = [
                {"x": left + a[0] + share * (b[0] - a[0]), "y": top + a[1] + share * (b[1] - a[1]), "id": finger}
                for finger, (a, b) in enumerate(zip(starts, ends))
            ]
            devtools.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else points}
            )

        touch("touchStart", 0)
        for step in range(1, 11):
            touch("touchMove", step / 10)
        touch("touchEnd", 1)
        page.wait_for_timeout(100)
        after = at_pixel(page, 112, 112)
        middle = [sum(end[axis] for end in ends) / 2 for axis in (0, 1)]
        assert after[2] / before == pytest.approx(grows, rel=0.02)
        assert (after[0] - left, after[1] - top) == pytest.approx(middle, abs=1.5)
        assert page.evaluate("() => scrollY") == scrolled


def drop(page: Page, selector: str, *paths: Path) -> None:
    """Drops files or folders from the disk on an element, like the system's file manager."""
    box = page.locator(selector).bounding_box()
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + min(box["height"] / 2, 200)}
        devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


def test_a_file_is_dropped_from_the_disk(page: Page) -> None:
    page.select_option("#model", "pneumonia")
    drop(page, "#stage", XRAY)
    expect(page.locator("#about")).to_contain_text("sample.png: 224 \u00d7 224")
    expect(page.locator(".verdict")).to_have_text("pneumonia")
    drop(page, "#panel", ROOT / "models/starter/digits/1.0.0/sample.png")  # beside the image: the page stays
    expect(page.locator("#about")).to_contain_text("sample.png: 8 \u00d7 8")


def test_a_folder_is_dropped_and_read_to_its_end(page: Page, tmp_path: Path) -> None:
    for i in range(130):  # a browser hands out at most 100 entries at a time
        folder = tmp_path / "plate" / ("inner" if i % 2 else ".")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(png(np.full((8, 8), i, np.uint8)))
    (tmp_path / "plate" / ".DS_Store").write_bytes(b"hidden")
    page.get_by_role("link", name="Many images").click()
    page.select_option("#many-model", "taxonomy")
    drop(page, "#many", tmp_path / "plate")
    expect(page.get_by_text("130 of 130 done.")).to_be_visible(timeout=60_000)
    expect(page.locator(".grid li")).to_have_count(130)
    expect(page.locator(".grid")).to_contain_text("plate/inner/1.png")
