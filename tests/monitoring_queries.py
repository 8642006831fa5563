"""Queries of the dashboards and the rules, with values for Grafana's variables."""

import json
from pathlib import Path

import yaml

from monitoring.dashboards.__main__ import DASHBOARDS, FOLDER

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


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


EXPRESSIONS = {
    name: filled(expr)
    for name, expr in {**PANELS, **ALERTS, **{r["record"]: r["expr"] for r in RULES if "record" in r}}.items()
}
