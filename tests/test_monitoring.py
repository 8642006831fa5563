"""Every query names metrics that exist, parses, and answers with data when the real service is under real traffic."""

import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image
from prometheus_client.metrics import MetricWrapperBase

from service.metrics import CONTENT_TYPE, Metrics
from tests.serving import free_port, process

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "monitoring"
RULES = [rule for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule["expr"] for rule in RULES if "alert" in rule}
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/service.json").read_text())
PANELS = {
    f"{panel['title']}/{target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$model": ".*"}
HISTOGRAM = ("_bucket", "_sum", "_count")

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
    """The service's sample names, each with the labels it may have."""
    names: dict[str, set[str]] = {}
    for metric in (value for value in vars(Metrics()).values() if isinstance(value, MetricWrapperBase)):
        (family,) = metric.describe()
        ends = {"counter": ("_total",), "histogram": HISTOGRAM}.get(family.type, ("",))
        names |= {family.name + end: set(metric._labelnames) | {"le"} for end in ends}
    return names


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_query_names_metrics_and_labels_that_exist(name: str) -> None:
    known = exposed()
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    expression = EXPRESSIONS[name]
    assert set(re.findall(r"\b\w+:\w+:\w+", expression)) <= recorded
    for metric, _, matchers in re.findall(r"(?<![:\w])(striate_\w+)(\{([^}]*)\})?", expression):
        assert metric in known
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= known[metric]


def test_the_dashboard_is_what_its_generator_writes() -> None:
    source = importlib.util.spec_from_file_location("dashboard", MONITORING / "dashboard.py")
    assert source is not None
    assert source.loader is not None
    dashboard = importlib.util.module_from_spec(source)
    source.loader.exec_module(dashboard)
    assert dashboard.DASHBOARD.read_text() == dashboard.render(), "run python monitoring/dashboard.py"


def test_grafana_finds_its_source_and_its_dashboards_where_compose_mounts_them() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    provisioning = MONITORING / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/striate.yml").read_text())["providers"]
    mounted = provider["options"]["path"]
    assert f"./monitoring/grafana/dashboards:{mounted}:ro" in compose["grafana"]["volumes"]
    assert urllib.parse.urlsplit(source["url"]).hostname in compose
    assert {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])} == {
        source["uid"]
    }


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


def test_every_alert_tells_its_reader_where_to_look_first() -> None:
    told = re.findall(r"^\| `(Striate\w+)` \|", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE)
    assert told == list(ALERTS)


@needs_promtool
def test_every_panels_query_parses(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{i}", "expr": filled(expr)} for i, expr in enumerate(PANELS.values())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", "panels.yml", cwd=tmp_path)


@pytest.fixture(scope="module")
def service(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real service, with a queue so short that a few callers fill it."""
    folder = tmp_path_factory.mktemp("service")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        "service.app:Striate",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    settings = {
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(ROOT),
        "STRIATE_MODELS": str(root),
        "STRIATE_DEVICE": "cpu",
        "STRIATE_QUEUE_LENGTH": "1",
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
    return httpx.post(service + route, data={"model": model["name"]}, files=files, timeout=30).status_code


def traffic(service: str) -> set[int]:
    """Good requests to every model from several callers at once, and one that is no image -> the statuses seen."""
    models = httpx.get(f"{service}/models").json()["models"]
    with ThreadPoolExecutor(8) as callers:
        seen = set(callers.map(lambda i: ask(service, models[i % len(models)], i), range(24)))
    wrong = httpx.post(f"{service}/predict", files={"image": ("x.png", b"no image", "image/png")}, timeout=30)
    return seen | {wrong.status_code}


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


@pytest.fixture(scope="module")
def watched(service: str, prometheus: str) -> str:
    """That Prometheus, after a quarter of a minute of traffic."""
    seen: set[int] = set()
    until = time.monotonic() + 15
    while time.monotonic() < until:
        seen |= traffic(service)
        time.sleep(0.5)
    assert {200, 429} <= seen <= {200, 415, 429}
    time.sleep(3)  # one more scrape and evaluation
    return prometheus


@pytest.mark.slow
@needs_prometheus
@pytest.mark.parametrize("name", PANELS)
def test_a_panel_shows_data(watched: str, name: str) -> None:
    result = query(watched, filled(PANELS[name]))
    assert result
    assert not all(sample["value"][1] == "NaN" for sample in result)


@pytest.mark.slow
@needs_prometheus
def test_every_rule_is_healthy_and_only_the_overload_alerts(watched: str) -> None:
    groups = httpx.get(f"{watched}/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert {rule["name"] for rule in rules if rule.get("state", "inactive") != "inactive"} <= {
        "StriateSaturated",  # the queue of one that this test fills
    }
