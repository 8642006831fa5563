"""Queries, rules and dashboards: they use existing metrics, parse, and return data for a real service under load."""

import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image
from prometheus_client.metrics import MetricWrapperBase

from monitoring.dashboards.__main__ import DASHBOARDS, FOLDER
from monitoring.dashboards.panels import rendered
from service.telemetry.metrics import CONTENT_TYPE, Metrics, ModelFacts
from service.telemetry.process_metrics import GpuCollector, ProcessCollector
from tests import tiny
from tests.service.engine.test_supervisor import until
from tests.service.telemetry.test_process_metrics import Driver
from tests.serving import free_port, process

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "monitoring"
RULES = [rule for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule["expr"] for rule in RULES if "alert" in rule}
BOARDS = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in DASHBOARDS}
PANELS = {
    f"{board}/{panel['title']}/{target['refId']}": target["expr"]
    for board, dashboard in BOARDS.items()
    for panel in dashboard["panels"]
    for target in panel.get("targets", [])
}
# Values for Grafana's variables.
VARIABLES = {"$__rate_interval": "1m", "$model": ".*"}
HISTOGRAM = ("_bucket", "_sum", "_count")
# A substitute for nvidia-ml-py: a module with the functions of a driver with two GPUs.
DRIVER = f"""from types import SimpleNamespace

{inspect.getsource(Driver)}
driver = Driver()
globals().update({{name: getattr(driver, name) for name in dir(driver) if name.lower().startswith("nvml")}})
"""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian: prometheus)"
)


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


EXPRESSIONS = {
    name: filled(expr)
    for name, expr in {**PANELS, **ALERTS, **{r["record"]: r["expr"] for r in RULES if "record" in r}}.items()
}


def exposed() -> dict[str, set[str]]:
    """Returns the service's sample names with their labels."""
    metrics = Metrics()
    facts = ModelFacts("digits", "1", "ready", serves=True)
    metrics.models = lambda: [facts, replace(facts, state="invalid", serves=False)]
    metrics.registry.register(ProcessCollector("service"))
    metrics.registry.register(GpuCollector(Driver()))
    names: dict[str, set[str]] = {}
    for metric in (value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)):
        (family,) = metric.describe()
        ends = {"counter": ("_total",), "histogram": HISTOGRAM}.get(family.type, ("",))
        names |= {family.name + end: set(metric._labelnames) | {"le"} for end in ends}
    return names | {each.name: set(each.labels) for family in metrics.registry.collect() for each in family.samples}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_query_names_metrics_and_labels_that_exist(name: str) -> None:
    known = exposed()
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    expression = EXPRESSIONS[name]
    assert set(re.findall(r"\b\w+:\w+:\w+", expression)) <= recorded
    for metric, _, matchers in re.findall(r"(?<![:\w])(striate_\w+)(\{([^}]*)\})?", expression):
        assert metric in known
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= known[metric] | {"job", "instance"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_what_its_generator_writes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == rendered(DASHBOARDS[name]), "run python -m monitoring.dashboards"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_numbers_of_their_own_and_do_not_overlap(name: str) -> None:
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    painted: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & painted
        assert max(x for x, _ in cells) < 24
        painted |= cells


def test_no_file_of_a_dashboard_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(DASHBOARDS)


def test_grafana_finds_its_source_and_its_dashboards_where_compose_mounts_them() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    provisioning = MONITORING / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/striate.yml").read_text())["providers"]
    mounted = provider["options"]["path"]
    assert f"./monitoring/grafana/dashboards:{mounted}:ro" in compose["grafana"]["volumes"]
    assert urllib.parse.urlsplit(source["url"]).hostname in compose
    targets = [target for board in BOARDS.values() for panel in board["panels"] for target in panel.get("targets", [])]
    assert {target["datasource"]["uid"] for target in targets} == {source["uid"]}


def test_prometheus_scrapes_the_service_that_compose_starts() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    jobs = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = next(job for job in jobs if job["job_name"] == "striate")["static_configs"][0]["targets"]
    assert target.split(":")[0] in compose


def test_prometheus_3_knows_the_content_type() -> None:
    assert CONTENT_TYPE.startswith(("text/plain; version=0.0.4", "text/plain; version=1.0.0"))


def promtool(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_reads_its_configuration_and_rules() -> None:
    promtool("check", "config", "prometheus.yml", cwd=MONITORING)


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", "rules.test.yml", cwd=MONITORING)


def test_every_alert_has_a_test() -> None:
    tests = yaml.safe_load((MONITORING / "rules.test.yml").read_text())["tests"]
    tried = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in tried if case.get("exp_alerts")} == set(ALERTS)  # fires
    assert {case["alertname"] for case in tried if not case.get("exp_alerts")} == set(ALERTS)  # is silent


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_tells_its_reader_what_it_is_and_where_to_read_on(alert: str) -> None:
    (rule,) = [rule for rule in RULES if rule.get("alert") == alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"


@needs_promtool
def test_every_panels_query_parses(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{i}", "expr": filled(expr)} for i, expr in enumerate(PANELS.values())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", "panels.yml", cwd=tmp_path)


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
    return httpx.post(service + route, data={"model": model["name"]}, files=files, timeout=120).status_code


def traffic(service: str) -> set[int]:
    """Good requests to every model from several callers at once, and one that is no image -> the statuses seen."""
    models = httpx.get(f"{service}/models", timeout=120).json()["models"]
    with ThreadPoolExecutor(8) as callers:
        seen = set(callers.map(lambda i: ask(service, models[i % len(models)], i), range(24)))
    wrong = httpx.post(f"{service}/predict", files={"image": ("x.png", b"no image", "image/png")}, timeout=120)
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


def test_the_page_lists_every_metric_with_its_labels() -> None:
    page = (ROOT / "docs/monitoring.md").read_text()
    told = dict(re.findall(r"^\| `(striate_\w+)` \| \w+ \| ([^|]+) \|", page, re.MULTILINE))
    known = {
        name.removesuffix("_count"): labels
        for name, labels in exposed().items()
        if not name.endswith(("_bucket", "_sum"))
    }
    assert {name: set(labels.split(", ")) - {"-"} for name, labels in told.items()} == {
        name: labels - {"le"} for name, labels in known.items()
    }
