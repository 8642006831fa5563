"""Every way to make a map, a layer's feature maps and the first filters, over HTTP, where the answers are known."""

import io
import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from onnx import helper

from models.image import Array
from models.package import Package, write
from service.encode.png_writer import png
from service.inference.device_memory import HostMemory
from service.inference.io_binding import BoundSession
from service.inference.onnxruntime import CPU, load
from service.tasks.occlusion import STEPS, windows
from tests import package_parts, tiny
from tests.conftest import Client
from tests.service.engine.in_process_engine import engine, front_end, submit
from tests.service.image_files import HALVES, form, grey

pytestmark = pytest.mark.anyio
FILTERS = np.arange(3 * 4, dtype=np.float32).reshape(3, 1, 2, 2)


def shades(root: Path) -> Package:
    """tiny.brightness with its 2 x 2 block means, and them times 1, 2 and -1, as layers; "cam" is called gradcam."""
    weights = package_parts.graph(
        [
            helper.make_node("AveragePool", ["x"], ["tap_blocks"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Mul", ["tap_blocks", "factors"], ["tap_three_times"]),
            helper.make_node("Conv", ["tap_blocks", "weight"], ["cam"]),
            helper.make_node("Mul", ["cam", "ten"], ["hirescam"]),
            helper.make_node("ReduceMean", ["cam"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("Add", ["means", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        constants={
            "weight": tiny.BRIGHTNESS_WEIGHTS.reshape(3, 1, 1, 1),
            "bias": tiny.BRIGHTNESS_BIAS,
            "ten": np.array(10.0),
            "factors": np.array([1.0, 2.0, -1.0]).reshape(1, 3, 1, 1),
        },
        inputs=("N", 1, 8, 8),
        outputs={
            "probabilities": ("N", 3),
            "cam": ("N", 3, 4, 4),
            "hirescam": ("N", 3, 4, 4),
            "tap_blocks": ("N", 1, 4, 4),
            "tap_three_times": ("N", 3, 4, 4),
        },
    )
    blocks = {"receptive_field": 2, "origin": 0.5, "stride": 2}
    spec = {
        "name": "shades",
        "version": "1.0",
        "description": "Is it bright?",
        "task": "classification",
        "architecture": "tiny",
        "input": {"channels": 1, "size": (8, 8), "smallest_image": 4, "steps": package_parts.TO_UNIT},
        "classes": [{"label": "dark"}, {"label": "bright"}, {"label": "neither"}],
        "activation": "softmax",
        "outputs": [
            package_parts.PROBABILITIES,
            package_parts.CAM | {"method": "gradcam", "size": (4, 4), "origin": 0.5, "stride": 2},
            package_parts.HIRESCAM | {"size": (4, 4), "origin": 0.5, "stride": 2},
            package_parts.tap("blocks", size=(1, 4, 4), **blocks),
            package_parts.tap("three.times", size=(3, 4, 4), **blocks),
        ],
        "receptive_field": 2,
        "stride": 2,
    }
    ramp = package_parts.ramp(1, 8)
    names = ("probabilities", "cam", "hirescam", "tap_blocks", "tap_three_times")
    outputs = package_parts.run(weights, ramp / np.float32(255), names)
    files: dict[str, Any] = {"test_input": ramp, "test_outputs": outputs, "filters": FILTERS}
    return write(root / "shades/1.0", spec, weights=weights, readme="Tiny.", **files)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("maps")
    shades(root)
    tiny.brightness(root)
    return root


def values(content: bytes) -> Array:
    return np.load(io.BytesIO(content))


async def raw(http: Any, model: str, **fields: str) -> tuple[Array, str]:
    response = await http.post("/cam", files=form(png(HALVES)), data={"model": model, "format": "raw", **fields})
    assert response.status_code == 200, response.text
    return values(response.content), response.headers["X-Striate-Method"]


async def test_the_models_own_method_is_the_default(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        for model, own in (("brightness", "cam"), ("shades", "gradcam")):
            default, method = await raw(http, model)
            told, _ = await raw(http, model, method=own)
            assert method == own
            np.testing.assert_array_equal(default, told)


async def test_each_method_gives_its_own_map(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        cam, _ = await raw(http, "brightness", label="bright")
        gradcam, _ = await raw(http, "brightness", label="bright", method="gradcam")
        hirescam, _ = await raw(http, "shades", label="bright", method="hirescam")
    np.testing.assert_allclose(gradcam, cam / 16, rtol=1e-6)  # of 4 x 4 places
    np.testing.assert_allclose(hirescam, cam * 10, rtol=1e-6)


async def test_occlusion_is_the_mean_drop_over_the_squares_on_a_pixel(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        found, method = await raw(http, "brightness", label="bright", method="occlusion")
    image = HALVES / 255
    total, count = np.zeros((2, 8, 8))
    for window in windows(8, 8):
        covered = image.copy()
        covered[window] = image.mean()
        total[window] += tiny.brightness_of(0.5)["bright"] - tiny.brightness_of(covered.mean())["bright"]
        count[window] += 1
    assert method == "occlusion"
    np.testing.assert_allclose(found, total / count, atol=1e-5)
    assert found[:4].min() > 0 > found[4:].max()  # bright above speaks for it, dark below against it


async def test_occlusion_keeps_the_deadline_and_leaves_the_queue_empty(serving: Client, models: Path) -> None:
    async with serving(models=models, timeout_s=0.001) as http:
        late = await http.post("/cam", files=form(grey(200)), data={"model": "brightness", "method": "occlusion"})
        metrics = (await http.get("/metrics")).text
    assert (late.status_code, late.json()["code"]) == (504, "deadline_passed")
    depths = [line for line in metrics.splitlines() if line.startswith("striate_queue_depth{")]
    assert depths
    assert all(line.endswith(" 0.0") for line in depths)


async def test_a_method_that_the_model_has_not_is_told_with_those_it_has(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        answer = await http.post("/cam", files=form(grey(200)), data={"model": "shades", "method": "cam"})
        wrong = await http.post("/cam", files=form(grey(200)), data={"model": "shades", "method": "lime"})
        about = {name: (await http.get(f"/models/{name}")).json()["cam_methods"] for name in ("shades", "brightness")}
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_method")
    assert "'gradcam', 'hirescam', 'occlusion'" in answer.json()["error"]
    assert wrong.json()["code"] == "invalid_option"
    assert about["shades"] == ["gradcam", "hirescam", "occlusion"]
    assert about["brightness"] == ["cam", "gradcam", "hirescam", "occlusion"]


async def test_a_layers_maps_are_the_networks(serving: Client, models: Path) -> None:
    blocks = np.repeat([255, 255, 0, 0], 4).reshape(4, 4) / 255
    async with serving(models=models) as http:
        one = await http.post("/activations", files=form(png(HALVES)), data={"model": "shades", "format": "raw"})
        fields = {"model": "shades", "layer": "three.times", "format": "raw", "first": "1", "count": "2"}
        two = await http.post("/activations", files=form(png(HALVES)), data=fields)
    np.testing.assert_allclose(values(one.content), blocks[None], rtol=1e-6)
    np.testing.assert_allclose(values(two.content), [2 * blocks, -blocks], rtol=1e-6)
    assert one.headers["X-Striate-Layer"] == "blocks"
    assert (two.headers["X-Striate-Channels"], two.headers["X-Striate-Of"]) == ("[1, 2]", "3")
    assert two.headers["X-Striate-Model"] == "shades"


async def test_the_picture_shows_each_map_in_its_own_range(serving: Client, models: Path) -> None:
    fields = {"model": "shades", "layer": "three.times", "colormap": "gray"}
    async with serving(models=models) as http:
        response = await http.post("/activations", files=form(png(HALVES)), data=fields)
    picture = imagecodecs.png_decode(response.content)[..., 0]
    assert json.loads(response.headers["X-Striate-Ranges"]) == [[0, 1], [0, 2], [-1, 0]]
    assert response.headers["X-Striate-Columns"] == "2"
    assert picture.shape == (65, 65)  # two rows of two maps, 4 x 4 enlarged to 32 x 32, a pixel between them
    assert [int(picture[y, x]) for y, x in ((0, 0), (31, 0), (0, 33), (33, 0), (64, 0))] == [255, 0, 255, 0, 255]
    assert not picture[33:, 33:].any()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "shades", "layer": "fc"}, "unknown_layer"),
        ({"model": "brightness"}, "unknown_layer"),
        ({"model": "shades", "layer": "three.times", "first": "3"}, "invalid_option"),
        ({"model": "shades", "count": "65"}, "invalid_option"),
    ],
)
async def test_what_cannot_be_shown_is_refused(
    serving: Client, models: Path, fields: dict[str, str], code: str
) -> None:
    async with serving(models=models) as http:
        answer = await http.post("/activations", files=form(grey(200)), data=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_the_filters_are_shown_and_given(serving: Client, models: Path) -> None:
    async with serving(models=models) as http:
        numbers = await http.get("/models/shades/filters", params={"format": "raw"})
        picture = await http.get("/models/shades/filters")
        none = await http.get("/models/brightness/filters")
        about = (await http.get("/models/shades")).json()
    np.testing.assert_array_equal(values(numbers.content), FILTERS)
    assert json.loads(picture.headers["X-Striate-Ranges"]) == [[0, 3], [4, 7], [8, 11]]
    assert [int(v) for v in imagecodecs.png_decode(picture.content)[::16, ::16][0, :2]] == [0, 85]
    assert (none.status_code, none.json()["code"]) == (422, "unknown_layer")
    assert about["has_filters"]
    assert [layer["name"] for layer in about["layers"]] == ["blocks", "three.times"]
    assert about["layers"][1] == {
        "name": "three.times", "channels": 3, "height": 4, "width": 4, "receptive_field_px": 2, "origin_px": 0.5,
        "stride_px": 2.0,
    }  # fmt: skip


async def test_front_ends_get_every_output_of_the_engine(models: Path) -> None:
    x = package_parts.ramp(1, 8) / np.float32(255)
    async with engine(models) as (path, here), front_end(path) as there:
        for outputs in (("tap_three_times",), ("probabilities", "hirescam"), ("probabilities", "tap_blocks", "cam")):
            wanted = await submit(here.served["shades"].batcher, x, outputs)
            ran = await submit(there.served["shades"].batcher, x, outputs)
            assert set(ran.outputs) == set(outputs)
            for name in outputs:
                np.testing.assert_array_equal(ran.outputs[name], wanted.outputs[name])


def test_buffers_for_a_tap_are_there_only_where_it_is_asked_for(models: Path) -> None:
    network = load(models / "shades/1.0/model.onnx", threads=1, providers=[CPU])
    session = BoundSession(network, memory=HostMemory(), buckets=(1, 2))
    x = package_parts.ramp(1, 8) / np.float32(255)
    for outputs in (("probabilities",), ("tap_blocks",), ("probabilities", "cam"), ("hirescam", "tap_blocks")):
        given = session.run(x, outputs)
        for name, wanted in zip(outputs, network.run(list(outputs), {"x": x})):
            np.testing.assert_array_equal(given[name], wanted)
    assert list(session.idle_buffers) == [((1, 1, 8, 8), ()), ((1, 1, 8, 8), ("tap_blocks",))]
    alone, tapped = (nbytes for nbytes, *_ in session.idle_buffers.values())
    assert tapped - alone == 4 * 4 * 4  # one map of 4 x 4


def test_no_image_takes_more_runs_than_the_docs_say() -> None:
    docs = (Path(__file__).parents[3] / "docs/api.md").read_text()
    assert f"up to {(STEPS - 1) ** 2} runs" in docs
