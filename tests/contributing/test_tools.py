"""The tools: make lists its targets, and pre-commit runs what CI runs."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def recipe(target: str) -> list[str]:
    """A make target's commands."""
    (lines,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines.splitlines()]


def test_pre_commit_runs_what_ci_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == recipe("check")
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in hooks)
    assert "make check" in (ROOT / ".ci" / "run").read_text()


def test_make_alone_lists_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\S+) +\S", listed, re.MULTILINE) == phony.split()


def test_the_table_names_files_that_exist() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:service|models|training|docs|monitoring|benchmarks|tests)/[\w./]*)`", table))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_make_installs_the_dependency_groups_and_nothing_publishes_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(re.findall(r"--group (\w+)", MAKEFILE)) == set(project["dependency-groups"]) == {"benchmark", "test"}
    assert not project["dependency-groups"].keys() & project["project"]["optional-dependencies"].keys()
