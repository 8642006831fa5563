"""Calls that the page shows, run as they stand there."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.service.http.workbench.browser import XRAY, bring, needs_chromium, percent, take_sample

pytestmark = [pytest.mark.browser, needs_chromium]


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
