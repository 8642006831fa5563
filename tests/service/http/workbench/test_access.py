"""The page when the service needs a key, limits its rate, or has stopped."""

import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import expect

from service.security.api_keys import new_key
from tests.service.http.workbench.browser import chromium, needs_chromium, opened
from tests.serving import ROOT, served

pytestmark = [pytest.mark.browser, needs_chromium]
SAMPLE = ROOT / "models/starter/pneumonia/1.0.0/sample.png"


def test_a_key_is_asked_for_kept_in_memory_and_used_until_the_service_is_gone(tmp_path: Path) -> None:
    key, lines = new_key("viewer", ["infer"])
    eager, eager_lines = new_key("eager", ["infer"], rate_per_s=0.001)
    (tmp_path / "keys.toml").write_text(lines + eager_lines + "burst = 6\n")
    variables = {"STRIATE_KEYS": str(tmp_path / "keys.toml"), "STRIATE_MODELS": str(ROOT / "models/starter")}
    with (
        served(tmp_path / "log", STRIATE_DEVICE="cpu", **variables) as (http, process),
        chromium() as browser,
        opened(browser, str(http.base_url)) as page,
    ):
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("key")
        page.locator("#key-value").fill("striate_wrong")
        page.keyboard.press("Enter")
        page.wait_for_timeout(100)
        expect(dialog).to_be_visible()  # asked again
        page.locator("#key-value").fill(key)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator(".samples figure")).to_have_count(3)
        kept = page.evaluate(
            "() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])"
        )
        assert key not in kept
        page.select_option("#model", "pneumonia")
        page.set_input_files("#file", SAMPLE)
        expect(page.locator(".verdict")).to_have_text("pneumonia")
        assert '"Authorization: Bearer $STRIATE_KEY"' in page.locator(".calls pre").first.text_content()

        page.reload()  # forgotten
        page.locator("#key-value").fill(eager)
        page.keyboard.press("Enter")
        expect(page.locator("#model")).to_have_value("digits")
        page.select_option("#model", "pneumonia")
        for _ in range(6):
            page.set_input_files("#file", SAMPLE)
            page.wait_for_timeout(300)
        expect(page.get_by_role("alert")).to_contain_text(re.compile(r"in \d+ s\."))

        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
