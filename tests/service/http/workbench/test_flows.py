"""User flows on the page, in a real Chromium against the real service."""

import csv
import io
import re

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from service.encode.png_writer import png
from tests.data import real_data
from tests.service.http.workbench.browser import (
    LIMIT,
    XRAY,
    asked,
    bring,
    downloaded,
    needs_chromium,
    percent,
    point_at,
    tab_to,
    take_sample,
)
from tests.service.image_files import tiff

pytestmark = [pytest.mark.browser, needs_chromium]
RAMP = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21  # 0 to 64,491


def test_a_sample_is_classified_and_the_page_says_what_the_service_says(page: Page, url: str) -> None:
    take_sample(page, "pneumonia")
    answer = asked(url, "/predict", XRAY.read_bytes(), model="pneumonia").json()
    top = answer["classes"][0]
    expect(page.locator(".verdict")).to_have_text(top["name"])
    shown = page.locator(".bars > li").first
    expect(shown.locator(".share")).to_have_text(percent(top["probability"]))
    expect(shown).to_have_class("decided")
    assert float(
        re.search(r"left: ([\d.]+)%", shown.locator(".mark").get_attribute("style")).group(1)
    ) == pytest.approx(100 * top["threshold"], abs=0.01)
    panel = page.locator("#results").inner_text()
    for fact in (answer["model"]["sha256"], "pneumonia 1.0.0", "224 \u00d7 224", "infer"):
        assert fact in panel


@pytest.mark.parametrize("kind", ["png", "tiff", "big-endian, deflated, with differences"])
def test_sixteen_bits_are_read_out_as_they_stand_in_the_file(page: Page, kind: str) -> None:
    files = {
        "png": lambda: png(RAMP),
        "tiff": lambda: tiff(RAMP, resolution=(20_000, 20_000), resolutionunit="CENTIMETER"),
    }
    content = files.get(kind, lambda: tiff(RAMP, byteorder=">", compression="zlib", predictor=2))()
    bring(page, f"ramp.{kind[:3]}", content)
    expect(page.locator("#about")).to_contain_text("64 \u00d7 48, uint16")
    for x, y in ((0, 0), (33, 17), (63, 47)):
        assert f"value {RAMP[y, x]}" in point_at(page, x, y)
    if kind == "tiff":
        assert "0.5 µm" in page.locator("#about").inner_text()
    grey = "() => document.querySelector('#view canvas').getContext('2d').getImageData(32, 24, 1, 1).data[0]"
    middle = page.evaluate(grey)
    assert 118 < middle < 138
    page.locator("#high").fill("500")
    page.wait_for_function(f"() => ({grey})() > {middle + 60}")


def test_an_image_is_dropped_and_pasted(page: Page) -> None:
    page.select_option("#model", "pneumonia")
    hand_over = """([bytes, kind]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], kind + ".png", { type: "image/png" }));
        const event = kind === "drop"
            ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
        document.querySelector("#view").dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(hand_over, [list(XRAY.read_bytes()), kind])
        expect(page.locator("#about")).to_contain_text(f"{kind}.png: 224 \u00d7 224")
        expect(page.locator(".verdict")).to_have_text("pneumonia")


def test_a_real_radiograph(page: Page) -> None:
    bring(page, "radiograph.png", real_data("chest_xray_samples/00000001_000.png").read_bytes())
    expect(page.locator("#about")).to_contain_text("512 \u00d7 512, uint8")
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.locator("#view canvas.map")).to_have_js_property("width", 512)


BAD = {"not an image": (b"Dear diary", "not_an_image"), "cut short": (XRAY.read_bytes()[:9000], "damaged_image")}


@pytest.mark.parametrize("case", BAD)
def test_a_refusal_is_the_service_s_sentence_and_the_next_image_is_answered(page: Page, url: str, case: str) -> None:
    content, code = BAD[case]
    refusal = httpx.post(f"{url}/predict", files={"image": content}, data={"model": "pneumonia"}).json()
    bring(page, "bad.png", content)
    expect(page.get_by_role("alert")).to_contain_text(refusal["error"])
    assert refusal["code"] == code
    bring(page, "good.png", XRAY.read_bytes())
    expect(page.locator(".verdict")).to_have_text("pneumonia")
    expect(page.get_by_role("alert")).to_be_empty()


def test_too_large_an_image_is_refused_in_words(page: Page) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (LIMIT // 2000, 2200), np.uint8)
    bring(page, "large.png", png(noise))
    expect(page.get_by_role("alert")).to_contain_text(f"{LIMIT:,}")


def test_a_taxonomy_is_a_tree(page: Page) -> None:
    bring(page, "grey.png", png(np.full((8, 8), 204, np.uint8)), model="taxonomy")
    inner = page.locator(".tree > ul > li", has_text="Seen")
    expect(inner.locator("ul > li .name")).to_have_text(["Bright", "Dark"])
    expect(page.locator(".warnings")).to_contain_text("Every pixel of the image is 204.")


def test_a_sequence_has_its_classes_and_no_picture(page: Page) -> None:
    bring(page, "sequence.json", b'"ccggccgg"', model="bases")
    expect(page.locator(".verdict")).to_have_text("rich")
    expect(page.locator("#map-class")).to_have_count(0)
    expect(page.locator("#window")).to_be_hidden()


def test_many_images_are_answered_and_the_bad_one_is_named(page: Page) -> None:
    page.get_by_role("link", name="Many images").click()
    page.select_option("#many-model", "taxonomy")
    values = [0, 255, 51, 204, 102]
    files = [
        {"name": f"{value}.png", "mimeType": "image/png", "buffer": png(np.full((8, 8), value, np.uint8))}
        for value in values
    ]
    page.set_input_files(
        "#many-files", [*files, {"name": "notes.png", "mimeType": "image/png", "buffer": b"Dear diary"}]
    )
    expect(page.get_by_text("6 of 6 done, 1 failed.")).to_be_visible()
    expect(page.locator(".failures li")).to_contain_text("notes.png")
    page.select_option("#many-sort", "name")
    expect(page.locator(".filename")).to_have_text(["0.png", "51.png", "102.png", "204.png", "255.png"])
    rows = list(
        csv.DictReader(io.StringIO(downloaded(page, page.get_by_role("button", name="Results (CSV)")).decode()))
    )
    assert [row["file"] for row in rows] == [*(f"{value}.png" for value in values), "notes.png"]
    assert [row["result"] for row in rows[:2]] == ["dark", "bright"]
    assert rows[-1]["error"]


def test_models_show_their_figures_and_limits(page: Page) -> None:
    page.get_by_role("link", name="Models").click()
    card = page.get_by_role("article", name="pneumonia")
    expect(card).to_contain_text("CC-BY-4.0")
    expect(card).to_contain_text("0.941 to 0.979")
    expect(card.locator(".limits")).to_contain_text("not a medical device")
    expect(card.locator(".live")).to_contain_text("Requests since loading")
    expect(card.locator(".plots figcaption")).to_have_text(["confusion", "reliability", "roc"])
    expect(page.get_by_role("img", name="calibration")).to_have_js_property("naturalWidth", 8)


def test_everything_is_reached_by_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    tab_to(page, "[aria-label='Samples of pneumonia'] .sample")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_be_visible()
    page.locator("body").press("Tab")
    tab_to(page, "#view")
    before = page.locator("#scale").inner_text()
    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    assert page.locator("#scale").inner_text() != before
    expect(page.locator("#readout")).to_contain_text("x ")
    page.keyboard.press("0")
    expect(page.locator("#scale")).to_have_text(before)
    tab_to(page, "#map-class")
    chosen = page.locator("#map-class").input_value()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#map-class")).not_to_have_value(chosen)
    tab_to(page, "#map-opacity")
    page.keyboard.press("Home")
    expect(page.locator("#view canvas.map")).to_have_css("opacity", "0")
