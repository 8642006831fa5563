"""SIGTERM while circus is busy: lost by its own handler, which is why there is another, and heeded by ours."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ARBITER = """
import sys
from circus import get_arbiter
from service import signals

if sys.argv[1] == "ours":
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


@pytest.mark.parametrize(("handler", "ends"), [("theirs", False), ("ours", True)])
def test_a_signal_while_busy(handler: str, ends: bool) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ARBITER, handler]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as arbiter:
        assert arbiter.stdout is not None
        assert arbiter.stdout.readline() == "busy\n"
        arbiter.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            arbiter.wait(timeout=60 if ends else 2)
        ended = arbiter.poll() is not None
        arbiter.send_signal(signal.SIGTERM)  # it is idle by now, and takes its process with it
        assert arbiter.wait(timeout=60) == 0
        assert ended == ends
