"""Functions that run in a child process of the fork server."""

import os
import resource
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import DamagedImage
from service.sandbox import decode_child
from service.sandbox.json_channel import Channel
from service.sandbox.peak_memory import address_space_bytes

STEPS = "probe", "open", "read", "separate"


def echo(channel: Channel) -> None:
    message, descriptors = channel.receive()
    for descriptor in descriptors:
        os.write(descriptor, message["say"].encode())
        os.close(descriptor)
    channel.send({"said": message["say"]})
    channel.receive()


def returns(_: Channel) -> None:
    pass


def raises(_: Channel) -> None:
    raise ValueError("a child's error")


def exits(_: Channel) -> None:
    os._exit(3)


def crashes(_: Channel) -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def sleeps(_: Channel) -> None:
    time.sleep(600)


def spins(_: Channel) -> None:
    while True:
        pass


def ignores_signals(_: Channel) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    spins(_)


def sends_garbage(channel: Channel) -> None:
    socket.socket(fileno=os.dup(channel.fileno())).send(b"\x80 no JSON")
    time.sleep(60)


def sends_a_list(channel: Channel) -> None:
    socket.socket(fileno=os.dup(channel.fileno())).send(b"[1]")
    time.sleep(60)


def stalls(step: str, channel: Channel) -> None:
    """A decoder that never ends this step."""
    setattr(decode_child.Decoding, step, lambda *_, **__: spins(channel))
    decode_child.main(channel)


def lies(step: str, answer: dict[str, Any], channel: Channel) -> None:
    """A decoder that has come under the control of its file, and answers this step as that wants."""
    setattr(decode_child.Decoding, step, lambda *_, **__: answer)
    decode_child.main(channel)


def breaks(step: str, channel: Channel) -> None:
    """A decoder that a file crashes in this step."""
    setattr(decode_child.Decoding, step, lambda *_, **__: crashes(channel))
    decode_child.main(channel)


stalls_in_probe, stalls_in_open, stalls_in_read, stalls_in_separate = (partial(stalls, step) for step in STEPS)
breaks_in_probe, breaks_in_open, breaks_in_read, breaks_in_separate = (partial(breaks, step) for step in STEPS)
lies_of_nothing = partial(lies, "probe", {})
lies_of_a_size = partial(
    lies,
    "probe",
    {"format": 0, "width": -1, "height": 5, "channels": 1, "dtype": "uint8", "pages": 1, "block": None, "cost": None},
)
SOURCE: dict[str, Any] = {
    "axes": "YX", "dtype": "uint8", "levels": [[[9, 11], [1, 1]]], "spacing": {}, "orientation": {}, "format": "png",
    "damage": None,
}  # fmt: skip
lies_of_a_dtype = partial(lies, "open", SOURCE | {"dtype": "object"})
lies_of_axes = partial(lies, "open", SOURCE | {"axes": "YY"})
lies_of_an_error = partial(lies, "probe", {"error": {"error": "SystemExit", "sentence": "no"}})


def lies_of_labels(channel: Channel) -> None:
    decode_child.grow = lambda foreground, *_, **__: np.full(foreground.shape, 2**30)
    decode_child.main(channel)


def devours_memory(channel: Channel) -> None:
    decode_child.Decoding.open = lambda *_: bytearray(2**30)
    decode_child.main(channel)


def fragments_memory(channel: Channel) -> None:
    """A decoder after which one small block is left beyond 200 MB that are free: glibc gives nothing of that back."""

    def probe(*_: Any, **__: Any) -> dict[str, Any]:
        blocks = [bytearray(2**20) for _ in range(200)]
        left.append(bytearray(2**20))
        blocks.clear()
        return {}

    left: list[bytearray] = []
    decode_child.Decoding.probe = probe  # type: ignore[method-assign]
    decode_child.main(channel)


def refuses_and_keeps(channel: Channel) -> None:
    """A decoder whose library leaves 100 MB in a cycle of references when it refuses a file by its header."""

    def probe(*_: Any, **__: Any) -> dict[str, Any]:
        left: list[Any] = [b"x" * 100 * 2**20]
        left.append(left)
        raise DamagedImage("png", "it is refused")

    decode_child.Decoding.probe = probe  # type: ignore[method-assign]
    decode_child.main(channel)


def rights(channel: Channel) -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    channel.send(
        {
            "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
            "no_new_privileges": int(status["NoNewPrivs"]),
            "input": os.readlink("/proc/self/fd/0"),
            "output": os.readlink("/proc/self/fd/1"),
            "error": os.readlink("/proc/self/fd/2"),
        }
    )


def has_little_memory(channel: Channel) -> None:
    """As where a container or a user's limits leave a process less than it reckons with."""
    own = address_space_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (own + 2**24, own + 2**24))
    devours_memory(channel)
