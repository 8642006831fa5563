"""Tests of SIGTERM while circus is busy: its own handler loses the signal, this service's does not."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ARBITER = """
import sys
from circus import get_arbiter
from service.process import signals

if sys.argv[1] == "striate":
    signals.install()
arbiter = get_arbiter([{"cmd": "sleep 600"}], check_delay=-1)

def free():
    arbiter._exclusive_running_command = None

def begun(_):
    arbiter._exclusive_running_command = "manage_watchers"  # as while a process is started again
    arbiter.loop.call_later(0.5, free)
    print("busy", flush=True)

arbiter.start(cb=begun)
"""


@pytest.mark.parametrize(("handler", "ends"), [("circus", False), ("striate", True)])
def test_a_signal_while_circus_is_busy(handler: str, ends: bool) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ARBITER, handler]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as arbiter:
        assert arbiter.stdout is not None
        assert arbiter.stdout.readline() == "busy\n"
        arbiter.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            arbiter.wait(timeout=60 if ends else 2)
        ended = arbiter.poll() is not None
        arbiter.send_signal(signal.SIGTERM)  # circus is idle now, and ends its process too
        assert arbiter.wait(timeout=60) == 0
        assert ended == ends
