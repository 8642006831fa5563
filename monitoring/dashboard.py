"""Writes the Grafana dashboard: python monitoring/dashboard.py. A new panel is a line in ROWS.

Every panel is a question an operator has; its query is what a test runs against a real Prometheus.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARD = Path(__file__).parent / "grafana" / "dashboards" / "service.json"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
HEIGHT = 8
WIDTH = 24  # Grafana's grid


class Panel(NamedTuple):
    """One picture: `queries` maps a legend (Grafana's template, "{{label}}") to PromQL."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    stack: bool = False
    help: str = ""
    red_above: float | None = None


def quantile(q: float, metric: str, *by: str, where: str = "") -> str:
    """The q-quantile of a histogram over the panel's interval, one series for each value of the labels `by`."""
    labels = ", ".join((*by, "le"))
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{where}[$__rate_interval])))"


def mean(metric: str, by: str, where: str = "") -> str:
    """The mean of a histogram over the panel's interval, one series for each value of the label `by`."""
    total, count = (f"sum by ({by}) (rate({metric}_{part}{where}[$__rate_interval]))" for part in ("sum", "count"))
    return f"{total} / {count}"


def rate(metric: str, *by: str, where: str = "") -> str:
    """Events a second over the panel's interval, one series for each value of the labels `by`."""
    return f"sum by ({', '.join(by)}) (rate({metric}{where}[$__rate_interval]))"


MODEL = '{model=~"$model"}'
WORK = '{route!~"/readyz|/livez|/healthz|/metrics"}'

ROWS: dict[str, list[Panel]] = {
    "Is it well?": [
        Panel("Up", {"": 'min(up{job="striate"})'}, kind="stat", help="1 when Prometheus gets an answer."),
        Panel("Models ready", {"": "sum(striate_model_ready)"}, kind="stat"),
        Panel("Packages refused", {"": "sum(striate_models_refused)"}, kind="stat", red_above=1),
        Panel("Requests in flight", {"": "sum(striate_in_flight_requests)"}, kind="stat"),
        Panel(
            "Answered with 5xx",
            {"": "max(route:striate_request_errors:ratio_rate5m) or vector(0)"},
            unit="percentunit",
            kind="stat",
            red_above=0.01,
            help="The worst route, over five minutes.",
        ),
        Panel(
            "Slowest route, p99",
            {"": f"max(route:striate_request_duration_seconds:p99_5m{WORK})"},
            unit="s",
            kind="stat",
            red_above=2,
        ),
    ],
    "What is asked, and what is answered": [
        Panel(
            "Requests",
            {"{{route}} {{status}}": rate("striate_requests_total", "route", "status")},
            unit="reqps",
            stack=True,
        ),
        Panel(
            "Time to answer",
            {
                "p50 {{route}}": quantile(0.5, "striate_request_duration_seconds", "route", where=WORK),
                "p99 {{route}}": quantile(0.99, "striate_request_duration_seconds", "route", where=WORK),
            },
            unit="s",
        ),
        Panel(
            "Errors by code",
            {"{{code}}": rate("striate_errors_total", "code")},
            unit="reqps",
            stack=True,
            help="internal is a bug; the rest says what callers get wrong, or that the service is full.",
        ),
        Panel(
            "Turned away",
            {"{{reason}}": rate("striate_rejections_total", "reason")},
            unit="reqps",
            stack=True,
        ),
    ],
    "Where the time goes": [
        Panel(
            "Mean time in each stage",
            {"{{stage}}": mean("striate_stage_duration_seconds", "stage", MODEL)},
            unit="s",
            stack=True,
            help="queue grows with load; infer is the model and its device.",
        ),
        Panel(
            "Inference, p99",
            {
                "{{model}}": quantile(
                    0.99, "striate_stage_duration_seconds", "model", where='{stage="infer", model=~"$model"}'
                )
            },
            unit="s",
        ),
        Panel("Waiting in each queue", {"{{model}}": f"sum by (model) (striate_queue_depth{MODEL})"}),
        Panel("Images in a batch, mean", {"{{model}}": mean("striate_batch_size", "model", MODEL)}),
    ],
    "What the models say": [
        Panel(
            "Served",
            {"": "striate_model_info"},
            kind="table",
            help="Which bytes (sha256) give the answers, and on which device.",
        ),
        Panel(
            "Top classes",
            {"{{model}} {{label}}": rate("striate_predictions_total", "model", "label", where=MODEL)},
            unit="reqps",
            stack=True,
            help="A shift in this mixture is the first sign that the images, or the patients, have changed.",
        ),
        Panel(
            "Confidence of the top class",
            {
                "median {{model}}": quantile(0.5, "striate_confidence_ratio", "model", where=MODEL),
                "lowest tenth {{model}}": quantile(0.1, "striate_confidence_ratio", "model", where=MODEL),
            },
            unit="percentunit",
        ),
        Panel(
            "Warnings an image",
            {"{{model}} {{code}}": f"model:striate_input_warnings:per_image_rate1h{MODEL}"},
            help="Over an hour. unlike_training_data counts once for the mean and once for the deviation.",
        ),
    ],
}


def panel_json(panel: Panel, *, identity: int, grid: dict[str, int]) -> dict[str, Any]:
    """A panel as Grafana stores it."""
    table = panel.kind == "table"
    targets = [
        {"refId": chr(65 + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto"}
        | ({"instant": True, "range": False, "format": "table"} if table else {"instant": False, "range": True})
        for i, (legend, expr) in enumerate(panel.queries.items())
    ]
    hide = {"Time": True, "Value": True, "__name__": True, "job": True}
    return {
        "id": identity,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": grid,
        "targets": targets,
        "transformations": [{"id": "organize", "options": {"excludeByName": hide}}] if table else [],
        "fieldConfig": {"defaults": field_defaults(panel), "overrides": []},
        "options": options(panel),
    }


def field_defaults(panel: Panel) -> dict[str, Any]:
    """Unit, thresholds and, for a graph, how its lines are drawn."""
    steps = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stack else "none", "group": "A"}
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 20 if panel.stack else 0, "stacking": stacking}
    return defaults


def options(panel: Panel) -> dict[str, Any]:
    """What each kind of panel shows beside its data."""
    return {
        "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"},
        "timeseries": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "table": {"showHeader": True},
    }[panel.kind]


def panels() -> list[dict[str, Any]]:
    """All rows, each a title line and its panels side by side."""
    placed: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        placed.append(
            {"id": len(placed) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        )
        width, height = WIDTH // len(row), HEIGHT // 2 if row[0].kind == "stat" else HEIGHT
        for i, panel in enumerate(row):
            grid = {"h": height, "w": width, "x": i * width, "y": y + 1}
            placed.append(panel_json(panel, identity=len(placed) + 1, grid=grid))
        y += 1 + height
    return placed


def dashboard() -> dict[str, Any]:
    """The whole dashboard as Grafana reads it from disk."""
    query = "label_values(striate_model_info, model)"
    return {
        "uid": "striate-service",
        "title": "Striate: the service",
        "tags": ["striate"],
        "schemaVersion": 41,
        "editable": False,
        "graphTooltip": 1,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "15s",
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {
            "list": [
                {
                    "name": "model",
                    "label": "Model",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": {"query": query, "refId": "model"},
                    "definition": query,
                    "refresh": 2,
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "current": {"text": ["All"], "value": ["$__all"]},
                }
            ]
        },
        "panels": panels(),
    }


def render() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(render())
