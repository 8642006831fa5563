"""docker-compose.yml: read, and as docker-compose understands it."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
COMPOSER = shutil.which("docker-compose") or "docker-compose"
needs_compose = pytest.mark.skipif(shutil.which(COMPOSER) is None, reason="docker-compose is not installed")


def config(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `docker-compose config` in a folder, with no variables but the given ones."""
    command, given = [COMPOSER, *options, "config"], {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=240, check=False)


@cache
def composed(*over: str) -> dict[str, Any]:
    """What docker-compose makes of the file and of those of deploy/ on top, by service."""
    files = [
        f"--file={file}" for file in ("docker-compose.yml", *(f"deploy/docker-compose.{name}.yml" for name in over))
    ]
    done = config(ROOT, "--env-file=.env.example", *files, GRAFANA_ADMIN_PASSWORD="secret")
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def installed(folder: Path) -> Path:
    """The folder, with the files that compose reads and the .env that `make .env` writes."""
    for name in ("docker-compose.yml", "deploy", "monitoring", "Makefile", ".env.example"):
        (folder / name).symlink_to(ROOT / name)
    subprocess.run(["make", "--silent", ".env"], cwd=folder, check=True, timeout=60)
    return folder
