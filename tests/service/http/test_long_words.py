"""Errors quote what was wrong, but never at length: a caller's words are cut, wherever a request holds them."""

from typing import Any

import orjson
import pytest

from tests.conftest import Client
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio
LONG = "A" * 60_000
MOST_BYTES = 2000
PARAMETERS = {"name": "brightness", "version": "1.0", "file": "README.md"}
JSON = {"Content-Type": "application/json"}
Sent = dict[str, Any]


def header(name: str) -> Sent:
    return {"content": grey(0), "headers": {"Content-Type": "image/png", name: LONG}}


def body(**fields: Any) -> Sent:
    return {"content": orjson.dumps(fields), "headers": JSON}


def tensor(**fields: Any) -> Sent:
    return body(inputs=[{"name": "image", "datatype": "FP32", "shape": [1], "data": [1]} | fields])


PLACES: dict[str, Sent] = {
    "a query's name": {"params": {LONG: "1"}, "files": form(grey(0))},
    "a query's names": {"params": {f"{n}{'A' * 50}": "1" for n in range(1000)}, "files": form(grey(0))},
    "a query's value": {"params": {"model": LONG}, "files": form(grey(0))},
    "an option's value": {
        "params": dict.fromkeys(("top_k", "format", "method", "label", "layer", "colormap"), LONG[:9000]),
        "files": form(grey(0)),
    },
    "a format": {"params": {"model": "brightness", "format": LONG}, "files": form(grey(0))},
    "a label": {"params": {"model": "brightness", "label": LONG}, "files": form(grey(0))},
    "a method": {"params": {"model": "brightness", "method": LONG}, "files": form(grey(0))},
    "a layer": {"params": {"model": "brightness", "layer": LONG}, "files": form(grey(0))},
    "a field's name": {"data": {LONG[:3000]: "1"}, "files": form(grey(0))},
    "a field's name that is too long": {"data": {LONG: "1"}, "files": form(grey(0))},
    "fields' names": {"data": {f"{n}{'A' * 3000}": "1" for n in range(30)}, "files": form(grey(0))},
    "a field's value": {"data": {"model": LONG[:9999]}, "files": form(grey(0))},
    "a field's value that is too long": {"data": {"model": LONG}, "files": form(grey(0))},
    "a file's field": {"files": [(LONG[:3000], ("a.png", grey(0)))]},
    "a file's name": {"files": [("image", (LONG[:3000], b"no image"))]},
    "a file's kind": {"files": [("image", ("a.png", b"no image", LONG[:3000]))]},
    "a file": {"content": LONG.encode(), "headers": {"Content-Type": "image/png"}},
    "a JSON field": body(**{LONG: 1}),
    "a JSON field within": body(parameters={LONG: 1}, canary={LONG: 1}),
    "a JSON field's value": body(parameters=LONG, pinned=LONG, id=LONG, shadow=LONG, ready=LONG, inputs=LONG),
    "a version": body(parameters={"version": LONG}, pinned=LONG),
    "a flag": tensor() | body(parameters={"binary_data_output": LONG, "timeout": LONG, "priority": LONG}),
    "a tensor's name": tensor(name=LONG),
    "a tensor's datatype": tensor(datatype=LONG),
    "a tensor's shape": tensor(shape=[LONG]),
    "a tensor's numbers": tensor(shape=[1, 1, 8, 8], data=[LONG] * 64),
    "a file in a tensor": tensor(name="image_bytes", datatype="BYTES", data=["?" + LONG]),
    "no JSON": {"content": b"{" + LONG.encode(), "headers": JSON},
    **{
        name: header(name)
        for name in (
            "Accept",
            "Accept-Encoding",
            "Access-Control-Request-Method",
            "Authorization",
            "Content-Encoding",
            "Content-Type",
            "Host",
            "Inference-Header-Content-Length",
            "Origin",
            "X-API-Key",
            "X-Request-ID",
            "traceparent",
        )
    },
}


def filled(path: str, **values: str) -> str:
    """Returns a path with these values for its parameters, or else with those of PARAMETERS."""
    for name, value in (PARAMETERS | values).items():
        path = path.replace(f"{{{name}}}", value)
    return path


@pytest.mark.parametrize("place", PLACES)
async def test_an_error_does_not_repeat_a_long_word(serving: Client, place: str) -> None:
    async with serving() as http:
        for path, methods in (await http.get("/docs.json")).json()["paths"].items():
            for method in methods:
                answer = await http.request(method, filled(path), **PLACES[place])
                if answer.status_code >= 400:
                    assert len(answer.content) <= MOST_BYTES, (method, path, answer.text[:300])
                    assert answer.status_code < 500


@pytest.mark.parametrize("word", [LONG, "é" * 10_000, "\N{GRINNING FACE}" * 5000], ids=["A", "é", "emoji"])
async def test_an_error_does_not_repeat_a_long_path(serving: Client, word: str) -> None:
    async with serving() as http:
        paths = (await http.get("/docs.json")).json()["paths"]
        for long in PARAMETERS:
            for path in filter(lambda path: f"{{{long}}}" in path, paths):
                for method in paths[path]:
                    at = filled(path, **{long: word})
                    answer = await http.request(method, at, files=form(grey(0)) if method == "post" else None)
                    assert 400 <= answer.status_code < 500, (method, path)
                    assert len(answer.content) <= MOST_BYTES, (method, path, answer.text[:300])
        assert len((await http.get(f"/{word}")).content) <= MOST_BYTES


async def test_of_many_unknown_fields_some_are_named(serving: Client) -> None:
    async with serving() as http:
        answer = await http.post("/predict", params={f"x{n:03}": "1" for n in range(15)}, files=form(grey(0)))
    assert "'x000', 'x001'" in answer.json()["error"]
    assert "'x009' and 5 more; allowed are 'image', 'model', 'top_k'" in answer.json()["error"]
