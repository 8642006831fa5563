"""Tests of the shipped deployment files for a service with API keys."""

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
    service = PLAIN["striate"]
    assert service["environment"][PREFIX + "WITHOUT_KEYS"] == "anywhere"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_with_keys_they_are_required_everywhere() -> None:
    environment = KEYED["striate"]["environment"]
    assert environment[PREFIX + "WITHOUT_KEYS"] == "loopback"
    folder, target, mode = KEYED["striate"]["volumes"][0].rsplit(":", 2)
    assert Path(environment[PREFIX + "KEYS"]).parent == Path(target)
    assert (folder, mode) == ("${SERVICE_SECRETS:-./secrets}", "ro")
