"""Queries, rules and dashboards against a real Prometheus that scrapes the real service under load."""

import inspect
import io
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from tests import tiny
from tests.monitoring_queries import EXPRESSIONS, MONITORING, PANELS, ROOT, RULES, filled
from tests.service.service_processes import until
from tests.service.telemetry.gpu_driver import Driver
from tests.serving import free_port, process

# A substitute for nvidia-ml-py: a module with the functions of a driver with two GPUs.
DRIVER = f"""from types import SimpleNamespace

{inspect.getsource(Driver)}
driver = Driver()
globals().update({{name: getattr(driver, name) for name in dir(driver) if name.lower().startswith("nvml")}})
"""
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian: prometheus)"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of each kind; the classifier has intensity statistics of its training images."""
    folder = tmp_path_factory.mktemp("models")
    usual = {"mean": (0.2, 0.5), "std": (0.0, 0.5), "p1": (0.0, 1.0), "p99": (0.0, 1.0)}
    tiny.brightness(folder, intensity={name: {"low": low, "high": high} for name, (low, high) in usual.items()})
    tiny.blobs(folder)
    tiny.tissue(folder)
    return folder


@pytest.fixture(scope="module")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real service: two front ends and an engine, with a short queue and a driver that reports two GPUs."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "pynvml.py").write_text(DRIVER)
    port = free_port()
    command = [sys.executable, "-m", "service", "--port", str(port)]
    settings = {
        "BENTOML_HOME": str(folder),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
        "STRIATE_MODELS": str(models),
        "STRIATE_QUEUE_LENGTH": "1",
        "STRIATE_FRONT_ENDS": "2",
    }
    url = f"http://127.0.0.1:{port}"
    with process(command, ready=f"{url}/readyz", folder=folder, **settings):
        yield url


@pytest.fixture(scope="module")
def prometheus(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus with our configuration, scraping that service each second."""
    folder = tmp_path_factory.mktemp("prometheus")
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [service.removeprefix("http://")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    shutil.copy(MONITORING / "rules.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with process(command, ready=f"http://{address}/-/ready", folder=folder):
        yield f"http://{address}"


# The environment, which httpx would look through for proxies, changes meanwhile: pytest names its test there.
OPTIONS: dict[str, Any] = {"timeout": 120, "trust_env": False}


def picture(shape: tuple[int, ...], *, seed: int) -> bytes:
    """Noise as a PNG; every fourth is one grey, which is worth a warning."""
    low = 128 if seed % 4 == 0 else 0
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(low, 129, shape, np.uint8)).save(file, "PNG")
    return file.getvalue()


def ask(service: str, model: dict[str, Any], seed: int) -> int:
    """One request of the kind the model answers -> its status."""
    route = {"classification": "/predict", "segmentation": "/segment"}[model["task"]]
    shape = (96, 96) if model["input"]["channels"] == 1 else (96, 96, 3)
    files = {"image": ("image.png", picture(shape, seed=seed), "image/png")}
    return httpx.post(service + route, data={"model": model["name"]}, files=files, **OPTIONS).status_code


def traffic(service: str) -> set[int]:
    """Good requests to every model from several callers at once, and one that is no image -> the statuses seen."""
    models = httpx.get(f"{service}/models", **OPTIONS).json()["models"]
    with ThreadPoolExecutor(8) as callers:
        seen = set(callers.map(lambda i: ask(service, models[i % len(models)], i), range(24)))
    wrong = httpx.post(f"{service}/predict", files={"image": ("x.png", b"no image", "image/png")}, **OPTIONS)
    return seen | {wrong.status_code}


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": expression}, timeout=60).json()
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


@pytest.fixture(scope="module")
def watched(service: str, prometheus: str) -> Iterator[str]:
    """That Prometheus, while there is traffic."""
    seen: set[int] = set()
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(0.5):
            seen.update(traffic(service))

    with ThreadPoolExecutor(1) as thread:
        going = thread.submit(go_on)
        try:
            until(lambda: going.done() or {200, 429} <= seen)
            yield prometheus
        finally:
            ended.set()
        going.result()
    assert seen == {200, 415, 429}


def found(prometheus: str, expression: str) -> bool:
    """Whether the query has an answer that is a number, now or when there has been another scrape and evaluation."""
    until(lambda: any(sample["value"][1] != "NaN" for sample in query(prometheus, expression)))
    return True


@pytest.mark.slow
@needs_prometheus
@pytest.mark.parametrize("name", PANELS)
def test_a_panel_shows_data(watched: str, name: str) -> None:
    assert found(watched, filled(PANELS[name]))


@pytest.mark.slow
@needs_prometheus
@pytest.mark.parametrize("name", [name for name in EXPRESSIONS if name not in PANELS])
def test_what_a_rule_looks_at_exists(watched: str, name: str) -> None:
    """Whatever it compares, and whether or not that is so now: a metric that is misspelt would never alert."""
    metrics = set(re.findall(r"(?<![:\w])(?:striate_\w+|\w*striate\w*:\w+:\w+|\w+:striate_\w+:\w+)", EXPRESSIONS[name]))
    metrics |= {"up"} if re.search(r"\bup\{", EXPRESSIONS[name]) else set()
    assert metrics
    for metric in metrics:
        assert found(watched, metric), metric
    query(watched, EXPRESSIONS[name])


@pytest.mark.slow
@needs_prometheus
@pytest.mark.parametrize("name", [rule["record"] for rule in RULES if "record" in rule])
def test_a_recorded_rule_has_values(watched: str, name: str) -> None:
    assert found(watched, name)


@pytest.mark.slow
@needs_prometheus
def test_every_rule_is_healthy_and_only_what_this_test_does_alerts(watched: str) -> None:

    def rules() -> list[dict[str, Any]]:
        groups = httpx.get(f"{watched}/api/v1/rules", timeout=60).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    until(lambda: "unknown" not in {rule["health"] for rule in rules()})  # each has been evaluated
    assert {rule["health"] for rule in rules()} == {"ok"}
    assert {rule["name"] for rule in rules() if rule.get("state", "inactive") != "inactive"} <= {
        "StriateSaturated",  # the queue of one
        "StriateQueueFilling",
        "StriateFellBackToCpu",  # the driver's GPUs are not there
        "StriateInputDrift",  # noise is brighter than the training images were
        "StriateSlow",  # on a machine that has other things to do
        "StriateSlowForHours",
        "StriateEventLoopHeld",
    }
