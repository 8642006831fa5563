"""What ships for a service with keys: the same as without, and the keys."""

from pathlib import Path

import yaml

from service.settings import PREFIX

ROOT = Path(__file__).parents[3]
PLAIN = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
KEYED = yaml.safe_load((ROOT / "deploy/docker-compose.keys.yml").read_text())["services"]


def test_prometheus_asks_the_same_with_a_key() -> None:
    plain = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text())
    keyed = yaml.safe_load((ROOT / "deploy/prometheus.keys.yml").read_text())
    service = next(job for job in keyed["scrape_configs"] if job["job_name"] == "striate")
    assert service.pop("authorization") == {"credentials_file": "/run/secrets/metrics.key"}
    assert keyed == plain


def test_without_keys_the_service_is_published_on_this_machine_alone() -> None:
    service = PLAIN["striate"]
    assert service["environment"][PREFIX + "WITHOUT_KEYS"] == "anywhere"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_with_keys_nothing_waives_them() -> None:
    given = KEYED["striate"]["environment"]
    assert given[PREFIX + "WITHOUT_KEYS"] == "loopback"
    folder, target, mode = KEYED["striate"]["volumes"][0].rsplit(":", 2)
    assert Path(given[PREFIX + "KEYS"]).parent == Path(target)
    assert (folder, mode) == ("${SERVICE_SECRETS:-./secrets}", "ro")
