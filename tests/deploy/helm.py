"""Helm on this repository's chart, by Helm's own engine; in a process of its own, since it brings Go's run time along.

`python -m tests.deploy.helm lint|render`: values as JSON on standard input; findings or manifests as JSON on standard
output, or a line that begins with "refused: ".
"""

import json
import sys
from pathlib import Path

import helm_python

CHART = Path(__file__).parents[2] / "deploy" / "helm"


def lint(values: dict[str, object]) -> object:
    return helm_python.lint(CHART, values, strict=True)


def render(values: dict[str, object]) -> object:
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        return chart.render(values, name="demo", namespace="imaging")


if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps({"lint": lint, "render": render}[sys.argv[1]](json.load(sys.stdin))))
    except helm_python.HelmError as error:
        sys.exit(f"refused: {error}")
