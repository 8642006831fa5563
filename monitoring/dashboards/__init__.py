"""Grafana's dashboards, built as code: `python -m monitoring.dashboards` writes them; a new panel is a line in ROWS."""
