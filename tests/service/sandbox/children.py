"""Functions that run in a child process of the fork server."""

import os
import signal
import socket
import time

from service.sandbox.json_channel import Channel


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
