"""Tests of the shipped deployment files for a service with API keys."""

import re
from pathlib import Path

import yaml

from service.settings import PREFIX

ROOT = Path(__file__).parents[3]
PLAIN = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
KEYED = yaml.safe_load((ROOT / "deploy/docker-compose.keys.yml").read_text())["services"]


def test_prometheus_scrapes_the_same_targets_with_a_key() -> None:
    plain = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text())
    keyed = yaml.safe_load((ROOT / "deploy/prometheus.keys.yml").read_text())
    service = next(job for job in keyed["scrape_configs"] if job["job_name"] == "striate")
    assert service.pop("authorization") == {"credentials_file": "/run/secrets/metrics.key"}
    assert keyed == plain


def test_without_keys_the_port_is_published_on_loopback_only() -> None:
    assert all(port.startswith("127.0.0.1:") for port in PLAIN["striate"]["ports"])


def test_nothing_that_ships_allows_a_service_without_keys() -> None:
    """Somebody must decide it in .env; before, the service does not start, since a container listens everywhere."""
    assert PLAIN["striate"]["environment"][PREFIX + "WITHOUT_KEYS"] is None
    decided = re.findall(r"^[A-Z].*$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert decided == ["GRAFANA_ADMIN_PASSWORD="]


def test_with_keys_they_are_required_everywhere() -> None:
    environment = KEYED["striate"]["environment"]
    assert environment[PREFIX + "WITHOUT_KEYS"] == "loopback"
    (secrets,) = KEYED["striate"]["volumes"]
    assert Path(environment[PREFIX + "KEYS"]).parent == Path(secrets["target"])
    assert secrets["read_only"] is True


def test_the_service_remembers_its_keys_in_its_volume() -> None:
    folder = PLAIN["striate"]["environment"][PREFIX + "STATE"]
    assert f"striate:{folder}" in PLAIN["striate"]["volumes"]
