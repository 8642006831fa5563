"""Masks and objects on the page."""

import csv
import io

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from service.encode.png_writer import png
from tests.service.http.workbench.browser import (
    NUCLEI,
    asked,
    bring,
    downloaded,
    needs_chromium,
    point_at,
    tab_to,
    take_sample,
)

pytestmark = [pytest.mark.browser, needs_chromium]

OPAQUE = """() => {
    const canvas = document.querySelector("#view canvas.outlines");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, i) => i % 4 === 3 && value).length;
}"""
OPAQUE_AREAS = OPAQUE.replace("outlines", "areas")


def test_objects_are_counted_measured_and_found_by_the_pointer(page: Page, url: str) -> None:
    take_sample(page, "nuclei")
    measured = asked(url, "/segment", NUCLEI.read_bytes(), model="nuclei", format="measurements").json()
    labels = np.asarray(Pillow.open(io.BytesIO(asked(url, "/segment", NUCLEI.read_bytes(), model="nuclei").content)))
    expect(page.locator(".verdict")).to_have_text(f"{measured['count']} objects")
    rows = page.locator(".objects tbody tr")
    expect(rows).to_have_count(measured["count"])
    areas = [float(text) for text in rows.locator("td:nth-child(3)").all_inner_texts()]
    assert areas == sorted((known["area_px"] for known in measured["objects"]), reverse=True)
    largest = max(measured["objects"], key=lambda known: known["area_px"])
    y, x = np.argwhere(labels == largest["id"])[largest["area_px"] // 2]
    assert f"object {largest['id']}" in point_at(page, int(x), int(y))
    expect(page.locator(".objects tr.on td").first).to_have_text(str(largest["id"]))
    assert "background" in point_at(page, *map(int, np.argwhere(labels == 0)[0][::-1]))
    page.get_by_role("button", name="No.").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("No.")
    page.locator("#pixel-size").fill("0.5")
    page.locator("#pixel-size").blur()
    expect(page.locator(".objects thead")).to_contain_text("Area µm²")
    areas = [float(text) for text in rows.locator("td:nth-child(3)").all_inner_texts()]
    assert max(areas) == pytest.approx(largest["area_px"] / 4, rel=0.005)  # three digits are shown


def test_a_class_can_be_switched_off(page: Page) -> None:
    take_sample(page, "nuclei")
    assert page.evaluate(OPAQUE) > 100
    page.get_by_role("checkbox").uncheck()
    assert page.evaluate(OPAQUE) == 0


def test_classes_that_overlap_are_switched_each_by_itself(page: Page) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:35, 5:40, 0] = image[15:25, 30:55, 1] = 200  # 30 x 35 of red, 10 x 25 of green, 10 x 10 of both
    bring(page, "stained.png", png(image), model="stains")
    expect(page.locator(".verdict")).to_have_text("2 objects")
    assert "red, green" in point_at(page, 35, 20)
    assert point_at(page, 50, 20).endswith("green")
    outlines = page.evaluate(OPAQUE)
    for label, area, edge in (("red", 1050, 126), ("green", 250, 66)):
        (other,) = {"red", "green"} - {label}
        page.get_by_role("checkbox", name=other).uncheck()
        assert page.evaluate(OPAQUE_AREAS) == area
        assert page.evaluate(OPAQUE) == edge < outlines  # its whole outline, also within the other
        page.get_by_role("checkbox", name=other).check()
    assert page.evaluate(OPAQUE_AREAS) == 1050 + 250 - 100


def test_every_format_can_be_saved(page: Page) -> None:
    take_sample(page, "nuclei")
    table = list(csv.reader(io.StringIO(downloaded(page, page.get_by_role("button", name="Table (CSV)")).decode())))
    assert table[0][:3] == ["No.", "Class", "Area px"]
    assert len(table) == 1 + page.locator(".objects tbody tr").count()
    for name, start in {"Labels": b"\x89PNG", "Probabilities": b"\x93NUMPY", "Measurements": b'{"model"'}.items():
        assert downloaded(page, page.get_by_role("button", name=name, exact=True)).startswith(start)


def test_a_mask_is_looked_at_by_the_keyboard(page: Page) -> None:
    take_sample(page, "nuclei")
    tab_to(page, ".classes input")
    page.keyboard.press("Space")
    assert page.evaluate(OPAQUE) == 0
    page.keyboard.press("Space")
    assert page.evaluate(OPAQUE) > 100
    tab_to(page, "#mask-opacity")
    page.keyboard.press("Home")
    expect(page.locator("#view canvas.areas")).to_have_css("opacity", "0")
    tab_to(page, "th button")
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("No.")
    tab_to(page, ".objects tbody tr")
    expect(page.locator("#view canvas.picked")).not_to_have_js_property("width", 0)
