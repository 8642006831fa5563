"""User flows on the page, in a real Chromium against the real service."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from service.encode.png_writer import png
from tests.data import real_data
from tests.service.http.workbench.browser import (
    LIMIT,
    bring,
    downloaded,
    needs_chromium,
    percent,
    point_at,
    tab_to,
    take_sample,
)
from tests.service.image_files import tiff
from tests.service.test_main import ROOT

pytestmark = [pytest.mark.browser, needs_chromium]
XRAY = ROOT / "models/starter/pneumonia/1.0.0/sample.png"
NUCLEI = ROOT / "models/starter/nuclei/1.0.0/sample.png"
RAMP = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21  # 0 to 64,491


OPAQUE = """() => {
    const canvas = document.querySelector("#view canvas.outlines");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, i) => i % 4 === 3 && value).length;
}"""

OPAQUE_AREAS = OPAQUE.replace("outlines", "areas")


def asked(url: str, path: str, image: bytes, **fields: str) -> httpx.Response:
    return httpx.post(url + path, files={"image": image}, data=fields, timeout=60).raise_for_status()


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


def test_the_calls_shown_give_what_is_on_the_screen(page: Page, tmp_path: Path) -> None:
    bring(page, "a scan, it's; mine.png", XRAY.read_bytes())
    (tmp_path / "a scan, it's; mine.png").write_bytes(XRAY.read_bytes())
    page.get_by_text("Show the call").click()
    expect(page.locator(".calls pre")).to_have_count(4)
    curl, python, curl_map, python_map = page.locator(".calls pre").all_inner_texts()
    shown = page.locator(".bars .share").first.inner_text()
    for command in (["bash", "-c", curl], [sys.executable, "-c", python]):
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        assert percent(json.loads(run.stdout)["classes"][0]["probability"]) == shown
    pictures = []
    for command in (["bash", "-c", curl_map], [sys.executable, "-c", python_map]):
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        pictures.append((tmp_path / "cam.png").read_bytes())
    assert pictures[0] == pictures[1]
    page.get_by_role("button", name="Copy the curl call").first.click()
    expect(page.get_by_role("button", name="Copy the curl call").first).to_have_text("Copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == curl


def test_a_sample_says_where_it_comes_from_and_how_it_is_had(page: Page, url: str, tmp_path: Path) -> None:
    source = httpx.get(f"{url}/models/pneumonia").json()["trained_on"]
    assert "CC BY 4.0" in source
    expect(page.get_by_role("figure", name="Samples of pneumonia")).to_contain_text(source)
    take_sample(page, "pneumonia")
    expect(page.locator("#about")).to_contain_text(source)
    page.get_by_text("Show the call").click()
    calls = page.locator(".calls pre").all_inner_texts()
    shown = page.locator(".bars .share").first.inner_text()
    for program, (fetch, classify) in (("bash", calls[0:3:2]), (sys.executable, calls[1:4:2])):
        subprocess.run([program, "-c", fetch], cwd=tmp_path, capture_output=True, check=True)
        assert (tmp_path / "sample.png").read_bytes() == XRAY.read_bytes()
        run = subprocess.run([program, "-c", classify], cwd=tmp_path, capture_output=True, check=True)
        assert percent(json.loads(run.stdout)["classes"][0]["probability"]) == shown
        (tmp_path / "sample.png").unlink()


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
