"""Tests of jobs in a limited child process: whatever a job does comes back as its result or as one reason."""

import errno
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from models.errors import PackageError
from service.sandbox.limited_job import JobCancelled, Limits, run_job

JOBS = "tests.service.sandbox.jobs"


def run(do: str, *, timeout_s: float = 60, **fields: Any) -> dict[str, Any]:
    return run_job(JOBS, {"do": do}, limits=Limits(timeout_s, 2**29), **fields)


def test_a_job_is_nobody_s_rival() -> None:
    facts = run("facts")
    assert (facts["oom_score"], facts["core"], facts["files"]) == (1000, 0, 64)
    assert facts["nice"] > 0


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("fill_memory", "It needs more than 512 MiB of memory to be proved."),
        ("exceed_stack", "maximum recursion depth exceeded"),
        ("refuse_no_text", r"It has \udcff."),
        ("surprise", "ZeroDivisionError"),
        ("no_files", "Too many open files"),
        ("crash", "It ended the process that proved it, while working: signal SIGSEGV."),
        ("exit", "It ended the process that proved it, while working: exit status 3."),
        ("unknown", "'unknown'"),
    ],
)
def test_what_a_job_does_wrong_is_a_reason(do: str, reason: str) -> None:
    with pytest.raises(PackageError) as raised:
        run(do)
    assert reason in str(raised.value)


def test_a_reason_is_one_short_line() -> None:
    with pytest.raises(PackageError) as raised:
        run("refuse")
    assert str(raised.value).startswith("It is wrong. xxx")
    assert len(str(raised.value)) == 300


def test_an_error_of_the_system_keeps_its_number() -> None:
    with pytest.raises(PackageError) as raised:
        run("no_files")
    assert isinstance(raised.value.__cause__, OSError)
    assert raised.value.__cause__.errno == errno.EMFILE


@pytest.mark.parametrize("do", ["sleep", "spin"])
def test_a_job_that_does_not_end_is_ended(do: str) -> None:
    with pytest.raises(PackageError, match="It was not proved within 1 s: working did not end"):
        run(do, timeout_s=1)


def test_a_job_can_be_cancelled() -> None:
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(JobCancelled):
        run("sleep", cancelled=cancelled)
    assert time.monotonic() - started < 30
    with pytest.raises(JobCancelled):
        run("facts", cancelled=cancelled)


def test_nothing_that_a_job_writes_is_left() -> None:
    assert not Path(run("leave_a_file")["path"]).exists()
