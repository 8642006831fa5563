"""The end of processes."""

import time

import psutil


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_ended(*pids: int) -> None:
    deadline = time.monotonic() + 30
    while not all(map(ended, pids)):
        assert time.monotonic() < deadline, "a process goes on"
        time.sleep(0.02)
