"""Tests of the fork server's process: its children have few rights, and nothing outlives the service."""

import subprocess
import sys
from pathlib import Path

import psutil

from service.sandbox.fork_server import ForkServer
from tests.service.sandbox.endings import wait_until_ended

TARGETS = "tests.service.sandbox.children"
ROOT = Path(__file__).parents[3]


def test_a_child_may_do_little(tmp_path: Path) -> None:
    server = ForkServer(TARGETS)
    child = server.start(f"{TARGETS}:rights")
    rights, _ = child.channel.receive(timeout_s=60)
    child.end()
    server.close()
    assert rights == {
        "core": 0,
        "no_new_privileges": 1,
        "output": "/dev/null",
        "error": "/dev/null",
        "input": "/dev/null",
    }


def test_nothing_outlives_a_service_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from service.sandbox.fork_server import ForkServer\n"
        f"server = ForkServer({TARGETS!r})\n"
        f"children = [server.start('{TARGETS}:ignores_signals') for _ in range(2)]\n"
        "print('started', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"started\n"
    family = [each.pid for each in psutil.Process(process.pid).children(recursive=True)]
    assert len(family) == 3
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until_ended(*family)
