"""Serving of the page and its files, and the public files of a package."""

import gzip
import re
from pathlib import Path

import pytest

from service.http.workbench import POLICY, STATIC
from service.security.api_keys import new_key
from service.tasks.cam import CamOptions
from service.tasks.segmentation import SegmentOptions
from tests import tiny
from tests.conftest import Client
from tests.service.image_files import grey

pytestmark = pytest.mark.anyio
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FILES = sorted(path.name for path in STATIC.iterdir())


async def test_a_browser_gets_the_page_and_a_program_the_routes(serving: Client) -> None:
    async with serving() as http:
        page, routes = await http.get("/", headers=BROWSER), await http.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert "<title>Striate</title>" in page.text
    assert routes.json()["service"] == "striate"
    assert "Accept" in routes.headers["Vary"]


async def test_every_file_is_packed_kept_and_asked_for_again(serving: Client) -> None:
    async with serving() as http:
        for name in FILES:
            packed = await http.get(f"/web/{name}", headers={"Accept-Encoding": "gzip"})
            plain = await http.get(f"/web/{name}", headers={"Accept-Encoding": "identity"})
            again = await http.get(f"/web/{name}", headers={"If-None-Match": plain.headers["ETag"]})
            assert packed.headers["Content-Encoding"] == "gzip"
            assert packed.content == plain.content == (STATIC / name).read_bytes()
            assert (again.status_code, again.content) == (304, b"")
            assert plain.headers["Cache-Control"] == "no-cache"
        missing = await http.get("/web/..%2f__init__.py")
    assert missing.status_code == 404
    assert (await_code := missing.json()["code"]) in {"unknown_file", "no_such_route"}, await_code


def test_the_page_is_small_and_calls_no_other_host() -> None:
    assert sum(len(gzip.compress((STATIC / name).read_bytes(), 9)) for name in FILES) < 100_000
    for name in FILES:
        text = (STATIC / name).read_text()
        hosts = set(re.findall(r"https?://[^\s\"'`/<]+", text)) - {"http://www.w3.org"}  # SVG's namespace
        assert not hosts, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|style=\"|onclick=", text), name
        assert len(text.splitlines()) <= 250, name


def test_every_module_is_preloaded_and_every_file_named_is_there() -> None:
    page = (STATIC / "index.html").read_text()
    named = set(re.findall(r"/web/([\w.-]+)", page))
    assert named == set(FILES) - {"index.html"}


def test_the_page_offers_every_format_and_method() -> None:
    for options, module in ((SegmentOptions, "segmentation.js"), (CamOptions, "class_map.js")):
        text = (STATIC / module).read_text()
        for name in options.model_json_schema()["properties"]["format"]["enum"]:
            assert re.search(rf'\["{name}",', text), name


async def test_a_package_shows_its_samples_and_readme_and_nothing_else(serving: Client, tmp_path: Path) -> None:
    package = tiny.brightness(tmp_path)
    sample = grey(204)
    text = (package.folder / "rdf.yaml").read_text()
    (package.folder / "sample.png").write_bytes(sample)
    assert text.count("    attachments: []") == 1
    (package.folder / "rdf.yaml").write_text(text.replace("    attachments: []", "    attachments: [sample.png]"))
    async with serving(models=tmp_path) as http:
        files = (await http.get("/models/brightness")).json()["files"]
        picture, readme = [await http.get(f"/models/brightness/files/{name}") for name in ("sample.png", "README.md")]
        refused = [await http.get(f"/models/brightness/files/{name}") for name in ("model.onnx", "rdf.yaml", "a")]
        (package.folder / "sample.png").unlink()
        gone = await http.get("/models/brightness/files/sample.png")
    assert files == ["README.md", "sample.png"]
    assert (picture.content, picture.headers["Content-Type"]) == (sample, "image/png")
    assert readme.text == "Tiny."
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(404, "unknown_file")}
    assert "sample.png" in refused[0].json()["error"]
    assert (gone.status_code, gone.json()["code"]) == (503, "not_ready")


async def test_with_keys_the_page_opens_and_what_it_asks_for_does_not(serving: Client, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(new_key("viewer", ["infer"])[1])
    async with serving(keys=str(keys)) as http:
        page = await http.get("/", headers=BROWSER)
        script = await http.get("/web/main.js")
        models = await http.get("/models")
        sample = await http.get("/models/brightness/files/README.md")
    assert (page.status_code, script.status_code) == (200, 200)
    assert (models.status_code, sample.status_code) == (401, 401)
