"""Benchmark report: Markdown sections of tables, and a description of the machine."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnxruntime
import psutil

from benchmarks.rounds import FINDING_HEADER, Finding

PACKAGES = (
    "onnxruntime", "onnxruntime-gpu", "bentoml", "starlette", "uvicorn", "uvloop", "httptools", "fastapi", "litserve",
    "torch", "numpy", "pillow", "isal",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """A Markdown table."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence on what was measured and how, and its tables."""

    title: str
    about: str
    tables: Sequence[Table]

    def __str__(self) -> str:
        return "\n\n".join([f"## {self.title}", self.about, *map(str, self.tables)])


def findings(found: Iterable[Finding]) -> Table:
    return Table(FINDING_HEADER, [finding.cells() for finding in found])


def machine() -> str:
    """Describes the machine, the providers and the versions in a Markdown list."""
    memory = psutil.virtual_memory().total / 2**30
    facts = [
        f"{date.today()}, commit {_commit()}",
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory; {platform.system()} {platform.release()}",
        f"load average at the start {os.getloadavg()[0]:.1f}",
        f"ONNX Runtime's providers: {', '.join(onnxruntime.get_available_providers())}",
        f"Python {platform.python_version()}, {', '.join(_versions())}",
    ]
    return "\n".join(f"- {fact}" for fact in facts)


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _versions() -> Iterable[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def _commit() -> str:
    """Returns the repository's commit, with "and changes" if files differ from it."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return commit.stdout.strip() + (" and changes" if changed.stdout.strip() else "")
