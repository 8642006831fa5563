"""The runbook has exactly one section per alert, with instructions."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose import COMPOSE

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "monitoring").glob("rules*.yml") if not path.name.endswith(".test.yml"))
GROUPS = [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
TEXT = (ROOT / "docs/runbook.md").read_text()
PARTS = re.split(r"^## (\w+)$", TEXT, flags=re.MULTILINE)[1:]
SECTIONS = dict(zip(PARTS[::2], PARTS[1::2], strict=True))


def test_its_headings_are_the_alerts() -> None:
    assert len(ALERTS) > 5
    assert SECTIONS.keys() == ALERTS.keys()


@pytest.mark.parametrize("alert", ALERTS)
def test_a_section_says_what_to_do(alert: str) -> None:
    means, do, what = SECTIONS[alert].partition("**Do:**")
    assert do
    assert len(means.split()) > 8
    assert len(what.split()) > 10


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_links_to_its_section(alert: str) -> None:
    assert ALERTS[alert]["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"


def test_a_backup_has_all_volumes_of_compose() -> None:
    loops = re.findall(r"^for volume in (.+); do$", TEXT, re.MULTILINE)
    assert [set(loop.split()) for loop in loops] == [set(COMPOSE["volumes"])] * 2  # saved, and restored
