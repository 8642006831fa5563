"""Tests of every way to make a map, over HTTP, and of layers behind front ends, where the answers are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.image import Array
from service.encode.png_writer import png
from service.inference.device_memory import HostMemory
from service.inference.io_binding import BoundSession
from service.inference.onnxruntime import CPU, load
from service.tasks.occlusion import STEPS, windows
from tests import package_parts, tiny
from tests.conftest import Client
from tests.service.engine.in_process_engine import engine, front_end, submit
from tests.service.image_files import HALVES, form, grey, npy_values
from tests.service.shades import shades_and_brightness

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shades_and_brightness(tmp_path_factory.mktemp("maps"))


async def raw(http: Any, model: str, **fields: str) -> tuple[Array, str]:
    response = await http.post("/cam", files=form(png(HALVES)), data={"model": model, "format": "raw", **fields})
    assert response.status_code == 200, response.text
    return npy_values(response.content), response.headers["X-Striate-Method"]


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
