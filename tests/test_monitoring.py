"""Queries, rules and dashboards: existing metrics, syntax, alerts, and what compose mounts."""

import re
import shutil
import subprocess
import urllib.parse
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from monitoring.dashboards.__main__ import DASHBOARDS, FOLDER
from monitoring.dashboards.panels import rendered
from service.telemetry.metrics import CONTENT_TYPE, Metrics, ModelFacts
from service.telemetry.process_metrics import GpuCollector, ProcessCollector
from tests.monitoring_queries import ALERTS, BOARDS, EXPRESSIONS, MONITORING, PANELS, ROOT, RULES, filled
from tests.service.telemetry.gpu_driver import Driver

HISTOGRAM = ("_bucket", "_sum", "_count")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


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
