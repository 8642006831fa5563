"""Tests of a container's limits: those of both versions of cgroups, and the machine's where there are none."""

import os
from pathlib import Path

import psutil
import pytest

from service.process.container import memory_bytes, processors


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),  # a thread that gets half a processor still makes use of it
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_threads_follow_the_quota_of_the_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], count: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert processors(tmp_path) == count


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "max\n"}, None),
        ({"memory.max": "1073741824\n"}, 2**30),
        ({"memory/memory.limit_in_bytes": "1073741824\n"}, 2**30),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),  # without a limit
        ({"memory.max": "\n"}, None),
    ],
)
def test_the_memory_is_the_containers_or_the_machines(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert memory_bytes(tmp_path) == (expected or memory_bytes(tmp_path / "nowhere"))
    assert 2**28 < memory_bytes() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "1073741824"}, 2**30),  # version 2: a group around it
        ("0::/a/b\n", {"a/b/memory.max": "536870912", "a/memory.max": "1073741824"}, 2**29),
        ("0::/\n", {"memory.max": "1073741824", "a/memory.max": "536870912"}, 2**30),  # another's
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "1073741824"}, 2**30),  # version 1
        ("7:cpu,memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "1073741824"}, 2**30),
        ("4:memory:/docker/0123\n", {"memory/memory.limit_in_bytes": "1073741824"}, 2**30),  # the host's name of it
        ("4:memory:/../../x\n", {"memory/memory.limit_in_bytes": "1073741824"}, 2**30),
    ],
)
def test_the_groups_around_a_process_limit_it_too(
    tmp_path: Path, own: str, files: dict[str, str], expected: int
) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    assert memory_bytes(tmp_path / "groups", tmp_path / "own") == expected


def test_a_quota_of_a_group_within_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    (tmp_path / "own").write_text("0::/a\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "cpu.max").write_text("200000 100000\n")
    assert processors(tmp_path, tmp_path / "own") == 2
