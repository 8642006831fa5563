"""Tests of pages of another origin in a real browser: one that STRIATE_CORS_ORIGINS lists, and one that it does not."""

import http.server
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page

from tests.service.http.workbench.browser import NUCLEI, XRAY, chromium, needs_chromium
from tests.serving import ROOT, served

pytestmark = [pytest.mark.browser, needs_chromium]


class Empty(http.server.BaseHTTPRequestHandler):
    """A page without content."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def site() -> Iterator[str]:
    """The origin of a site of empty pages."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


ASK = """async ([url, image, fields]) => {
    const body = new FormData();
    body.append("image", new Blob([Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0))]));
    for (const [name, value] of Object.entries(fields)) body.append(name, value);
    const headers = { "X-API-Key": "any", "X-Request-ID": "viewer-1", traceparent: "00-1-1-01" };
    const answer = await fetch(url, { method: "POST", headers, body });
    const isJson = answer.headers.get("Content-Type") === "application/json";
    return [answer.status, Object.fromEntries(answer.headers), isJson ? await answer.json() : null];
}"""
SHOW = """([url, crossOrigin]) => new Promise((resolve) => {
    const image = new Image();
    image.crossOrigin = crossOrigin;
    image.onload = () => resolve(image.naturalWidth);
    image.onerror = () => resolve(0);
    image.src = url;
})"""
SAMPLE = "/models/pneumonia/files/sample.png"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Page, Page]]:
    """The service's address, a page of an origin that it lists, and a page of another."""
    with ExitStack() as opened:
        listed, other = opened.enter_context(site()), opened.enter_context(site())
        variables = {"STRIATE_MODELS": str(ROOT / "models/starter"), "STRIATE_CORS_ORIGINS": listed}
        log = tmp_path_factory.mktemp("service") / "log"
        http, _ = opened.enter_context(served(log, STRIATE_DEVICE="cpu", **variables))
        browser = opened.enter_context(chromium())
        pages = [browser.new_page(), browser.new_page()]
        for page, origin in zip(pages, (listed, other)):
            page.goto(origin)
        yield str(http.base_url).rstrip("/"), pages[0], pages[1]


def asked(page: Page, url: str, file: Path, **fields: str) -> tuple[int, dict[str, str], Any]:
    status, headers, answer = page.evaluate(ASK, [url, b64encode(file.read_bytes()).decode(), fields])
    return status, headers, answer


def test_a_listed_page_reads_pictures_their_headers_json_and_errors(pages: tuple[str, Page, Page]) -> None:
    url, page, _ = pages
    status, headers, _ = asked(page, url + "/cam", XRAY, model="pneumonia")
    assert (status, headers["x-striate-label"], headers["x-request-id"]) == (200, "PNEUMONIA", "viewer-1")
    assert json.loads(headers["x-striate-warnings"]) == []
    assert float(headers["x-striate-probability"]) > 0.5
    status, headers, _ = asked(page, url + "/segment", NUCLEI, model="nuclei", format="overlay")
    assert (status, int(headers["x-striate-count"]) > 10) == (200, True)
    status, _, answer = asked(page, url + "/predict", NUCLEI, model="pneumonia")
    assert (status, answer["model"]["name"], bool(answer["warnings"])) == (200, "pneumonia", True)
    status, headers, answer = asked(page, url + "/predict", Path(__file__), model="pneumonia")
    assert (status, headers["x-striate-error"], answer["code"]) == (415, "not_an_image", "not_an_image")


def test_a_page_that_is_not_listed_reads_nothing(pages: tuple[str, Page, Page]) -> None:
    url, _, page = pages
    with pytest.raises(Error, match="Failed to fetch"):
        asked(page, url + "/predict", XRAY, model="pneumonia")
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("(url) => fetch(url)", url + "/models")
    assert [page.evaluate(SHOW, [url + SAMPLE, mode]) for mode in (None, "anonymous")] == [0, 0]


def test_a_listed_page_shows_pictures_that_it_asks_for_with_cors(pages: tuple[str, Page, Page]) -> None:
    url, page, _ = pages
    assert page.evaluate(SHOW, [url + SAMPLE, "anonymous"]) > 0
    assert page.evaluate(SHOW, [url + SAMPLE, None]) == 0  # the request does not say which page asks
