"""Fork server process, started by fork_server.py as `python -m service.sandbox <descriptor> <module> ...`."""

import ctypes
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from service.sandbox.json_channel import Channel

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # <linux/prctl.h>
_FAILED = 70  # EX_SOFTWARE


def main() -> None:
    descriptor, *modules = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all processes; this one ends with its channel
        signal.signal(number, signal.SIG_IGN)
    for module in modules:
        import_module(module)
    gc.collect()
    gc.freeze()  # a child's collector would otherwise write to, and so copy, every page that it shares
    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    children: set[int] = set()
    with suppress(EOFError):  # the service has closed its end, or has ended
        _serve(Channel(socket.socket(fileno=int(descriptor))), children, prctl)
    for pid in set(children):
        _end(pid, children)


def _serve(control: Channel, children: set[int], prctl: Callable[..., int]) -> NoReturn:
    while True:
        request, descriptors = control.receive()
        if "end" in request:
            control.send({"status": _end(request["end"], children)})
            continue
        server, pid = os.getpid(), os.fork()
        if not pid:
            control.close()
            _run(request["start"], descriptors[0], server, prctl)
        os.close(descriptors[0])
        children.add(pid)
        control.send({"pid": pid})


def _end(pid: int, children: set[int]) -> int:
    """Kills a child; returns how it ended. An earlier server's children have ended with that server."""
    if pid not in children:
        return -signal.SIGKILL
    children.remove(pid)
    os.kill(pid, signal.SIGKILL)  # changes nothing of one that has ended by itself
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run(target: str, descriptor: int, server: int, prctl: Callable[..., int]) -> NoReturn:
    """Runs a child's function. It dumps no core and prints nothing: both would hold what a stranger sent."""
    try:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        if os.getppid() == server:
            module, _, function = target.partition(":")
            channel = Channel(socket.socket(fileno=descriptor))  # open until the end, by which others see that
            getattr(import_module(module), function)(channel)
        os._exit(0)
    finally:
        os._exit(_FAILED)


if __name__ == "__main__":
    main()
