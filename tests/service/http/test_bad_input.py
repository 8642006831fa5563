"""What people send by mistake or malice: the status, the code, a sentence that helps, and nobody else affected."""

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from service.encode.png_writer import png
from tests import tiny
from tests.conftest import Client
from tests.models.decode.crafted_jpeg import progressive
from tests.service.image_files import form, grey, jpeg, png_claiming, tiff

pytestmark = pytest.mark.anyio

GOOD = grey(204)
NAN = np.full((8, 8), 7.0, np.float32)
NAN[3, 3] = np.nan
INFINITE = np.full((8, 8), 7.0, np.float32)
INFINITE[0, 0] = np.inf
MARKER = "Erika-Mustermann-1964-08-12"

NOISE = jpeg(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
CUT_JPEG = NOISE[:-1000]
HOLED_JPEG = NOISE[:-1000] + bytes(512) + NOISE[-488:]

BAD_IMAGES = {
    "not an image": (b"%PDF-1.7 and so on", 415, "not_an_image", "25 50 44 46"),
    "a truncated image": (GOOD[:-20], 422, "damaged_image", "PNG"),
    "a truncated header": (GOOD[:20], 422, "damaged_image", "PNG"),
    "a decompression bomb by its header": (png_claiming(50_000, 50_000), 413, "too_many_pixels", "2,500,000,000"),
    "too little data for its size": (png_claiming(8, 8, pixel_data=bytes(9)), 422, "damaged_image", "PNG"),
    "a JPEG cut short": (CUT_JPEG, 422, "damaged_image", "its end is missing"),
    "a JPEG with a hole": (HOLED_JPEG, 422, "damaged_image", "damaged or cut short"),
    "a JPEG of more scans than are read": (progressive(8, 8, 60, bits=2), 413, "too_costly", "more than 100 scans"),
    "an empty file": (b"", 415, "not_an_image", "is empty"),
    "smaller than the network can take": (grey(9, height=3, width=30), 422, "image_too_small", "30 x 3"),
    "NaN pixels": (tiff(NAN), 422, "not_finite", "1 pixel"),
    "infinite pixels": (tiff(INFINITE), 422, "not_finite", "NaN or infinite"),
    "values that overflow in single precision": (
        tiff(np.full((8, 8), 1e300)),
        422,
        "values_too_large",
        "from 1e+300 to 1e+300",
    ),
    "a stack of planes": (tiff(np.zeros((5, 8, 8), np.uint8)), 422, "unsupported_image", "one plane"),
    "complex numbers": (tiff(np.zeros((8, 8), np.complex64)), 422, "unsupported_image", "complex64"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
async def test_a_bad_image_is_refused_and_the_next_request_is_answered(serving: Client, case: str) -> None:
    image, status, code, says = BAD_IMAGES[case]
    async with serving() as http:
        refused = await http.post("/predict", files=form(image))
        for route in ("/cam", "/segment"):
            data = {"model": "blobs"} if route == "/segment" else {}
            assert (await http.post(route, files=form(image), data=data)).status_code == status
        after = await http.post("/predict", files=form(GOOD))
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert says in refused.json()["error"]
    assert set(refused.json()) == {"error", "code"}
    assert after.status_code == 200


@pytest.mark.parametrize("image", [CUT_JPEG, HOLED_JPEG], ids=["cut", "with a hole"])
async def test_a_damaged_image_is_answered_with_a_warning_where_the_operator_allows_it(
    serving: Client, image: bytes
) -> None:
    async with serving(tolerate_damage="warn") as http:
        whole = (await http.post("/predict", files=form(NOISE))).json()
        damaged = await http.post("/predict", files=form(image))
        hopeless = [await http.post("/predict", files=form(data)) for data in (NOISE[:100], GOOD[:-20])]
    (warning,) = [each for each in damaged.json()["warnings"] if each not in whole["warnings"]]
    assert (damaged.status_code, warning["code"]) == (200, "damaged_image")
    assert "The JPEG file is damaged or cut short: " in warning["message"]
    assert [(each.status_code, each.json()["code"]) for each in hopeless] == [(422, "damaged_image")] * 2


@pytest.mark.parametrize("case", BAD_IMAGES)
async def test_a_bad_image_leaves_its_neighbours_alone(serving: Client, case: str) -> None:
    image, status, code, says = BAD_IMAGES[case]
    async with serving() as http:
        alone = (await http.post("/predict", files=form(GOOD))).json()
        response = await http.post("/predict", files=form(GOOD, image, GOOD))
    assert response.status_code == 200
    first, bad, last = response.json()["results"]
    assert first["classes"] == last["classes"] == alone["classes"]
    assert (bad["status"], bad["code"]) == (status, code)
    assert says in bad["error"]


async def test_a_decompression_bomb_by_its_data_is_inflated_no_further_than_its_size_says(serving: Client) -> None:
    bomb = png_claiming(8, 8, pixel_data=bytes(10**8))
    async with serving() as http:
        tracemalloc.start()
        response = await http.post("/predict", files=form(bomb))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (response.status_code, response.json()["code"]) == (413, "too_costly")
    assert peak < 10**7


BAD_REQUESTS = {
    "two fields missing": ("/segment", {}, [], 400, "missing_field", "'image' (a file) and 'model' (one of blobs, tis"),
    "the image missing": ("/predict", {"top_k": "2"}, [], 400, "missing_field", "'image'"),
    "the model missing": ("/segment", {}, form(GOOD), 400, "missing_field", "one of blobs, tissue"),
    "a wrong model name": ("/predict", {"model": "resnet"}, form(GOOD), 404, "unknown_model", "'resnet'"),
    "a segmentation of a classifier": (
        "/segment", {"model": "brightness"}, form(GOOD), 422, "wrong_task", "does classification, not segmentation",
    ),
    "a prediction of a segmenter": ("/predict", {"model": "blobs"}, form(GOOD), 422, "wrong_task", "'brightness'"),
    "a label that the model has not": (
        "/cam", {"label": "cat"}, form(GOOD), 422, "unknown_label", "'dark', 'bright', 'neither'",
    ),
    "a URL in the file field": (
        "/predict", {"image": "http://169.254.169.254/latest"}, [], 400, "url_not_fetched", "nothing is fetched",
    ),
    "a URL in the file": ("/predict", {}, form(b"https://example.org/a.png"), 400, "url_not_fetched", "own bytes"),
    "text in the file field": ("/predict", {"image": "scan.png"}, form(GOOD), 400, "malformed_request", "send a file"),
    "an unknown field": ("/predict", {"topk": "2"}, form(GOOD), 400, "unknown_field", "'image', 'model', 'top_k'"),
    "a file elsewhere": ("/predict", {}, [("file", ("a", GOOD))], 400, "malformed_request", "belongs in the field"),
    "a field twice": ("/predict?top_k=1", {"top_k": "2"}, form(GOOD), 400, "malformed_request", "'top_k' is given tw"),
    "an unknown format": ("/cam", {"format": "jpeg"}, form(GOOD), 422, "invalid_option", "'overlay', 'heatmap' or"),
    "a format of later": ("/segment", {"model": "blobs", "format": "rle"}, form(GOOD), 422, "invalid_option", "'rle'"),
    "an option out of bounds": ("/cam", {"alpha": "1.5"}, form(GOOD), 422, "invalid_option", "'1.5'"),
    "an option of the wrong kind": ("/predict", {"top_k": "five"}, form(GOOD), 422, "invalid_option", "'five'"),
    "two images where one is asked": ("/cam", {}, form(GOOD, GOOD), 413, "too_many_images", "at most 1"),
}  # fmt: skip


EMPTY = {"model": (None, "")}  # httpx makes no multipart body of nothing


@pytest.mark.parametrize("case", BAD_REQUESTS)
async def test_a_bad_request_is_refused_and_the_next_is_answered(serving: Client, case: str) -> None:
    route, data, files, status, code, says = BAD_REQUESTS[case]
    async with serving() as http:
        fields = [(name, (None, value)) for name, value in data.items()]  # as multipart even where there is no file
        refused = await http.post(route, files=[*fields, *files] or EMPTY)
        after = await http.post("/predict", files=form(GOOD))
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert says in refused.json()["error"]
    assert after.status_code == 200


async def test_a_package_with_a_changed_byte_is_refused_and_the_others_serve(serving: Client, tmp_path: Path) -> None:
    tiny.brightness(tmp_path)
    weights = tiny.brightness(tmp_path, name="broken").weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    async with serving(models=tmp_path) as http:
        refused = (await http.get("/models")).json()["models"][-1]
        asked = await http.post("/predict", files=form(GOOD), data={"model": "broken"})
        other = await http.post("/predict", files=form(GOOD))
        metrics = (await http.get("/metrics")).text
    assert (refused["name"], refused["status"]) == ("broken", "invalid")
    assert "model.onnx has been changed" in refused["reason"]
    assert (asked.status_code, asked.json()["code"]) == (503, "not_ready")
    assert "has been changed" in asked.json()["error"]
    assert other.status_code == 200
    assert "striate_models_refused 1.0" in metrics


@pytest.mark.parametrize("source", ["../../secret.onnx", "/etc/passwd", "https://example.org/model.onnx"])
async def test_a_package_with_a_way_out_of_its_folder_is_refused(serving: Client, tmp_path: Path, source: str) -> None:
    tiny.brightness(tmp_path)
    description = tiny.brightness(tmp_path, name="escape").folder / "rdf.yaml"
    description.write_text(description.read_text().replace("source: model.onnx", f"source: {source}"))
    async with serving(models=tmp_path) as http:
        models = (await http.get("/models")).json()["models"]
        other = await http.post("/predict", files=form(GOOD))
    assert [model["status"] for model in models] == ["ready", "invalid"]
    assert source in models[1]["reason"]
    assert other.status_code == 200


NAMED = {
    "a good image": (tiff(np.full((8, 8), 9, np.uint8), description=MARKER), 200),
    "a truncated one": (tiff(np.full((8, 8), 9, np.uint8), description=MARKER)[:-70], 422),
    "NaN pixels": (tiff(NAN, description=MARKER), 422),
    "not an image": (MARKER.encode(), 415),
}


@pytest.mark.parametrize("case", NAMED)
async def test_nothing_is_logged_of_what_an_image_holds_or_is_called(
    serving: Client, case: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    image, status = NAMED[case]
    with caplog.at_level(logging.DEBUG):
        async with serving(log_level="debug") as http:
            response = await http.post("/predict", files=form(image, name=f"{MARKER}.tif"))
            metrics = (await http.get("/metrics")).text
    out, err = capfd.readouterr()
    assert response.status_code == status
    assert '"event":"request"' in err
    for written in (out, err, caplog.text, metrics, response.text):
        assert MARKER not in written


@pytest.mark.parametrize("body", [b"", b"--x\r\nContent-Disposition: form-data\r\n\r\nq\r\n--x--\r\n", b"--y garbage"])
async def test_a_broken_multipart_body_is_refused(serving: Client, body: bytes) -> None:
    async with serving() as http:
        refused = await http.post("/predict", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
        nameless = await http.post("/predict", content=body, headers={"Content-Type": "multipart/form-data"})
    assert refused.status_code == nameless.status_code == 400
    assert refused.json()["code"] in {"malformed_request", "missing_field"}


async def test_too_many_pixels_are_counted_before_they_are_decoded(serving: Client) -> None:
    async with serving(max_pixels=64) as http:
        fits = await http.post("/predict", files=form(grey(1)))
        refused = await http.post("/predict", files=form(png(np.zeros((8, 9), np.uint8))))
    assert fits.status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_pixels")
    assert "9 x 8" in refused.json()["error"]


async def test_values_that_overflow_inside_the_network_are_refused(serving: Client, tmp_path: Path) -> None:
    tiny.brightness(tmp_path, input={"channels": 1, "size": (8, 8), "steps": [{"id": "ensure_dtype"}]})
    async with serving(models=tmp_path) as http:
        refused = await http.post("/predict", files=form(tiff(np.full((8, 8), 3e38, np.float32))))
        after = await http.post("/predict", files=form(GOOD))
    assert (refused.status_code, refused.json()["code"]) == (422, "values_too_large")
    assert "from 3e+38 to 3e+38" in refused.json()["error"]
    assert after.status_code == 200
