"""Class activation maps on the page."""

import io
import re

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from tests.service.http.workbench.browser import XRAY, asked, needs_chromium, point_at, take_sample

pytestmark = [pytest.mark.browser, needs_chromium]


def test_the_map_s_numbers_are_the_service_s(page: Page, url: str) -> None:
    take_sample(page, "pneumonia")
    expect(page.locator("#view canvas.map")).to_have_js_property("width", 224)
    pixels = np.asarray(Pillow.open(XRAY))
    fields = {"model": "pneumonia", "label": "PNEUMONIA", "format": "raw"}
    raw = np.load(io.BytesIO(asked(url, "/cam", XRAY.read_bytes(), **fields).content))
    for x, y in ((10, 20), (120, 180), (223, 0)):
        said = point_at(page, x, y)
        assert f"x {x}, y {y}" in said
        assert f"value {pixels[y, x, 0]}" in said
        assert float(re.search(r"PNEUMONIA (-?[\d.e-]+)", said).group(1)) == pytest.approx(
            raw[y, x], rel=0.006, abs=0.001
        )
    page.select_option("#map-class", "NORMAL")
    expect(page.locator(".key span").last).not_to_have_text("4.87")
    assert "NORMAL" in point_at(page, 120, 180)


def test_two_maps_stand_beside_each_other_and_swipe(page: Page) -> None:
    take_sample(page, "pneumonia")
    page.select_option("#map-mode", "side")
    expect(page.locator("#second canvas.map")).to_have_js_property("width", 224)
    page.locator("#in").click()
    places = page.evaluate("() => [...document.querySelectorAll('.sheet')].map((sheet) => sheet.style.transform)")
    assert places[0] == places[1]
    page.select_option("#map-mode", "swipe")
    expect(page.locator("#second")).to_be_hidden()
    expect(page.locator("#view canvas.other")).to_have_js_property("width", 224)
    page.locator("#line").fill("20")
    clips = [page.locator(f"#view canvas.{name}").get_attribute("style") for name in ("map", "other")]
    assert "inset(0px 80% 0px 0px)" in clips[0]
    assert "20%" in clips[1]
    page.select_option("#other-model", "digits")
    expect(page.locator("#other-class")).to_have_value("0")


def test_every_method_of_a_model_can_be_chosen(page: Page) -> None:
    take_sample(page, "digits")
    offered = page.locator("#map-method option").evaluate_all("(options) => options.map((option) => option.value)")
    assert offered == ["gradcam", "hirescam", "occlusion"]
    for method in offered[1:]:
        with page.expect_response(lambda answer: answer.headers.get("x-striate-method") == method) as answered:  # noqa: B023
            page.select_option("#map-method", method)
        assert answered.value.ok
