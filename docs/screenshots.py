"""Screenshots of the workbench's main states (`make screenshots`), three of them for the README."""

import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from tests.service.http.workbench.browser import chromium, opened, take_sample
from tests.serving import ROOT, served

TO = ROOT / "build/screenshots"
README = ROOT / "docs/images"


def main() -> None:
    TO.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "log", STRIATE_MODELS=str(ROOT / "models/starter"), STRIATE_DEVICE="cpu") as (http, _),
        chromium() as browser,
    ):
        for name, size, dark in (("light", "laptop", False), ("dark", "laptop", True), ("phone", "phone", False)):
            with opened(browser, str(http.base_url), size=size, dark=dark) as page:
                _states(page, name)
    for name in ("light_classified", "dark_segmented", "light_compared"):
        _small(TO / f"{name}.png", README / f"workbench_{name.partition('_')[2]}.png")


def _states(page: Page, name: str) -> None:
    expect(page.locator(".samples figure")).to_have_count(3)
    page.screenshot(path=TO / f"{name}_start.png")
    take_sample(page, "pneumonia")
    expect(page.locator("#view canvas.map")).to_have_js_property("width", 224)
    _shoot(page, name, "classified")
    page.select_option("#map-mode", "side")
    expect(page.locator("#second canvas.map")).to_have_js_property("width", 224)
    _shoot(page, name, "compared")
    page.set_input_files("#file", {"name": "diary.png", "mimeType": "image/png", "buffer": b"Dear diary"})
    expect(page.locator(".problem")).to_be_visible()
    _shoot(page, name, "invalid")
    page.select_option("#model", "nuclei")
    page.set_input_files("#file", ROOT / "models/starter/nuclei/1.0.0/sample.png")
    expect(page.locator(".objects")).to_be_visible()
    _shoot(page, name, "segmented")
    page.select_option("#model", "digits")
    page.set_input_files("#file", ROOT / "models/starter/digits/1.0.0/sample.png")
    page.locator(".stage-box").nth(1).click()
    page.locator(".maps canvas").click(position={"x": 30, "y": 30})
    page.locator(".stages").scroll_into_view_if_needed()
    _shoot(page, name, "network")
    page.get_by_role("link", name="Many images").click()
    page.select_option("#many-model", "nuclei")
    page.set_input_files(
        "#many-files", [ROOT / f"models/starter/{model}/1.0.0/sample.png" for model in ("nuclei", "digits")]
    )
    expect(page.locator(".failures li")).to_be_visible()
    expect(page.locator(".grid li")).to_be_visible()
    _shoot(page, name, "many")
    page.get_by_role("link", name="Models").click()
    expect(page.locator(".limits h4")).to_have_count(3)
    _shoot(page, name, "models")


def _shoot(page: Page, name: str, state: str) -> None:
    expect(page.locator("#panel")).not_to_have_attribute("aria-busy", "true")  # its results are pale until then
    if page.locator("#view").is_visible():
        page.hover("#view")
    page.screenshot(path=TO / f"{name}_{state}.png", full_page=name == "phone")


def _small(source: Path, to: Path) -> None:
    """Writes a screenshot with 128 colours: a third of the bytes, without a visible difference."""
    with Image.open(source) as picture:
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(to, optimize=True)


if __name__ == "__main__":
    main()
