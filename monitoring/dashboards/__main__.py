"""Generator of the dashboard files that compose mounts."""

from pathlib import Path

from monitoring.dashboards import data, models, service
from monitoring.dashboards.panels import Dashboard, rendered

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"
DASHBOARDS = {
    "service": Dashboard("striate-service", "Striate: the service", service.ROWS),
    "models": Dashboard("striate-models", "Striate: the models", models.ROWS),
    "data": Dashboard("striate-data", "Striate: data and drift", data.ROWS),
}


def main() -> None:
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(rendered(dashboard))


if __name__ == "__main__":
    main()
