"""Grafana dashboards as code: `python -m monitoring.dashboards` writes them; a new panel is an entry in ROWS."""
