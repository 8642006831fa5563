"""Tests of `python -m service` in a process of its own, over a socket."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import onnxruntime
import pytest

from service.repository.startup_message import SAMPLE
from tests import tiny
from tests.service.image_files import HALVES, form, grey, jpeg
from tests.serving import ROOT, answers, command, environment, free_port, served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    package = tiny.brightness(folder)
    (package.folder / SAMPLE).write_bytes(grey(204))
    tiny.blobs(folder)
    tiny.tissue(folder).weights.write_bytes(b"")
    return folder


def test_a_service_answers_until_it_is_stopped(models: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served(log, STRIATE_MODELS=str(models)) as (http, process):
        first = http.post("/predict", files=form(grey(204)))
        assert first.json()["classes"][0]["label"] == "bright"
        assert http.post("/cam", files=form(jpeg(HALVES))).headers["Content-Type"] == "image/png"
        assert http.post("/segment", files=form(grey(0))).headers["X-Striate-Count"] == "0"
        for path in ("/livez", "/healthz", "/readyz"):
            assert http.get(path).json()["status"] in {"alive", "ready"}  # not BentoML's
        assert http.get("/docs.json").json()["info"]["title"] == "Striate"
        assert http.get("/").json()["service"] == "striate"
        unknown = http.get("/schema.json")  # BentoML has such a route; this service does not
        assert (unknown.status_code, unknown.json()["code"]) == (404, "no_such_route")
        metrics = http.get("/metrics").text
        assert 'striate_requests_total{route="/predict",status="200"} 1.0' in metrics
        assert "bentoml_" not in metrics
        chunked = http.post("/predict", content=iter([grey(204)]), headers={"Content-Type": "image/png"})
        assert chunked.json()["classes"] == first.json()["classes"]
        printed = log.read_text()
        curl = next(line for line in printed.splitlines() if line.strip().startswith("curl"))
        answer = subprocess.run(curl.split(), cwd=ROOT, capture_output=True, check=True).stdout
        assert b'"label":"bright"' in answer
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0
    printed = log.read_text()
    assert "brightness 1.0 (classification) is served by CPUExecutionProvider" in printed
    assert "tissue 1.0 is invalid and not served: model.onnx has been changed" in printed
    assert "Traceback" not in printed


def test_a_request_in_flight_is_answered_before_the_service_stops_and_a_quiet_one_writes_only_json(
    models: Path, tmp_path: Path
) -> None:
    log, variables = tmp_path / "log", {"STRIATE_MODELS": str(models), "STRIATE_TIMEOUT_S": "240"}
    with served(log, options=["--quiet"], **variables) as (http, process):
        url = str(http.base_url)

        def slowly() -> Iterator[bytes]:
            data = grey(204)
            yield data[:20]
            while "striate_in_flight_requests 2.0" not in httpx.get(f"{url}/metrics", timeout=60).text:
                time.sleep(0.05)  # until the service has received it
            process.terminate()
            while answers(f"{url}/livez"):
                time.sleep(0.05)  # until the service has handled the signal
            yield data[20:]

        answer = http.post("/predict", content=slowly(), headers={"Content-Type": "image/png"})
        assert answer.json()["classes"][0]["label"] == "bright"
        assert process.wait(timeout=120) == 0
    events = {json.loads(line)["event"] for line in log.read_text().splitlines()}
    assert {"model loaded", "package invalid", "ready", "request"} <= events


INVALID_STARTS = {
    "a typo": ({"STRIATE_DEVCE": "cpu"}, "striate: STRIATE_DEVCE is not a setting"),
    "no such folder": ({"STRIATE_MODELS": "/nowhere"}, "striate: STRIATE_MODELS=/nowhere: no such folder"),
    "no GPU": ({"STRIATE_DEVICE": "cuda"}, "striate: STRIATE_DEVICE=cuda, but ONNX Runtime has no working CUDA here"),
}


@pytest.mark.parametrize("case", INVALID_STARTS)
def test_an_invalid_start_ends_with_a_reason(models: Path, case: str) -> None:
    variables, says = INVALID_STARTS[case]
    if case == "no GPU" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    ended = subprocess.run(
        command(free_port()),
        cwd=ROOT,
        env=environment(**{"STRIATE_MODELS": str(models), **variables}),
        capture_output=True,
        timeout=240,
    )
    assert ended.returncode == 1
    assert says in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()
