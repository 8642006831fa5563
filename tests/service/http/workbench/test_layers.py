"""The layers card, and classification of a digit while it is drawn."""

import math
import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from service.encode.png_writer import png
from tests.service.http.workbench.browser import bring, needs_chromium, take_sample

pytestmark = [pytest.mark.browser, needs_chromium]
PAINTED = """() => [...document.querySelectorAll(".stage-box canvas")].map((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size > 2 ? data.join() : "";
})"""
FRAMED = """() => {
    const canvas = document.querySelector("#view canvas.picked"), { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const xs = [], ys = [];
    for (let i = 3; i < data.length; i += 4) if (data[i]) {
        xs.push(((i >> 2) % width) / width);
        ys.push(Math.floor((i >> 2) / width) / height);
    }
    const ends = (all) => [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
    return [...ends(xs), ...ends(ys)];
}"""  # left, right, top, bottom in shares of the image
LINE = 0.006  # of the image's side: half of the frame's line, and a pixel of its canvas


def choose(page: Page, column: int, row: int, *, columns: int, units: int) -> None:
    """Clicks on a unit of the layer's first map."""
    box = page.locator(".maps canvas").bounding_box()
    step = box["width"] / columns / units
    page.mouse.move(0, 0)
    page.locator(".maps canvas").click(position={"x": (column + 0.5) * step, "y": (row + 0.5) * step})


@pytest.mark.parametrize(
    ("column", "row", "seen"),
    [(0, 0, (0, 1, 0, 1)), (3, 3, (6, 7, 6, 7)), (1, 2, (2, 3, 4, 5))],  # left, right, top, bottom of 8
)
def test_what_a_unit_sees_is_framed_where_it_is(page: Page, column: int, row: int, seen: tuple[int, ...]) -> None:
    bring(page, "grey.png", png(np.arange(64, dtype=np.uint8).reshape(8, 8)), model="corners")
    page.locator(".stage-box", has_text="corners").click()
    expect(page.locator(".maps canvas")).to_be_visible()
    choose(page, column, row, columns=1, units=4)
    assert page.evaluate(FRAMED) == pytest.approx([edge / 8 for edge in seen], abs=LINE)
    expect(page.get_by_text(f"Unit {column}, {row} of corners")).to_contain_text(
        f"x {seen[0]} to {seen[0]}, y {seen[2]} to {seen[2]} of"
    )


def test_a_unit_is_chosen_by_keys_and_looks_as_far_as_the_border(page: Page) -> None:
    take_sample(page, "digits")
    page.locator(".stage-box", has_text="features.5").press("Enter")
    expect(page.locator(".maps canvas")).to_be_visible()
    page.locator(".maps").press("ArrowRight")  # the first is 0, 0
    expect(page.get_by_text("Unit 0, 0 of features.5 sees 16 × 16 px: x 0 to 15, y 0 to 15 of")).to_be_visible()  # noqa: RUF001
    assert page.evaluate(FRAMED) == pytest.approx([0, 0.5, 0, 0.5], abs=LINE)
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Unit 4, 0 of features.5 sees 16 × 16 px: x 16 to 31, y 0 to 15 of")).to_be_visible()  # noqa: RUF001
    assert page.evaluate(FRAMED) == pytest.approx([0.5, 1, 0, 0.5], abs=LINE)


def test_every_stage_has_its_maps_and_the_filters_are_shown(page: Page) -> None:
    take_sample(page, "digits")
    page.locator(".stages").scroll_into_view_if_needed()
    page.wait_for_function(f"() => ({PAINTED})().every((painted) => painted)")
    assert page.locator(".stage-box strong").all_inner_texts() == [
        "filters", "features.1", "features.2", "features.4", "features.5"
    ]  # fmt: skip
    page.locator(".stage-box", has_text="filters").click()
    expect(page.get_by_text("the patterns that the first layer looks for")).to_be_visible()
    expect(page.locator(".maps canvas")).to_be_visible()


FOUR = [(0.6, 0.1), (0.25, 0.6), (0.8, 0.6), (0.6, 0.4), (0.6, 0.9)]
ZERO = [(0.5 + 0.25 * math.sin(angle / 10), 0.5 - 0.38 * math.cos(angle / 10)) for angle in range(0, 64, 4)]


def test_a_digit_is_read_while_it_is_drawn_with_every_layer_in_sight(page: Page) -> None:
    page.select_option("#model", "digits")
    layers: list[list[str]] = []
    for points, label in ((FOUR, "4"), (ZERO, "0")):
        page.get_by_role("button", name="Clear").click()
        pad = page.locator(".pad").bounding_box()
        for i, (x, y) in enumerate(points):
            page.mouse.move(pad["x"] + x * pad["width"], pad["y"] + y * pad["height"], steps=4)
            if i == 0:
                page.mouse.down()
            if i == 2:  # the pen is still down
                expect(page.locator(".digit")).not_to_be_empty()
        page.mouse.up()
        expect(page.locator(".digit")).to_have_text(label)
        expect(page.locator(".verdict")).to_have_text(label)
        expect(page.locator("#about")).to_contain_text("digit.png: 8 \u00d7 8")
        expect(page.locator(".stage-box").last).to_be_in_viewport()
        layers.append(page.evaluate(PAINTED))
        if label == "4":
            page.locator(".stage-box", has_text="features.2").click()
            page.evaluate("() => scrollTo(0, 0)")
        expect(page.locator(".stage-box[aria-pressed=true]")).to_contain_text("features.2")
        expect(page.locator(".maps canvas")).to_be_visible()
    assert [four == zero for four, zero in zip(*layers)] == [True] + [False] * 4  # the filters are the same
    took = sorted(page.evaluate("() => performance.getEntriesByName('drawn').map((drawn) => drawn.duration)"))
    middle = took[len(took) // 2]
    print(f"{len(took)} answers with every layer while two digits were drawn, {middle:.0f} ms in the middle")  # noqa: T201
    assert len(took) > 4
    assert re.search(r"%\. Answered in [\d,]+ ms\.", page.locator(".drawing").inner_text())
