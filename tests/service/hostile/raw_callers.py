"""Callers on raw sockets: they send what they are told, and read when they are told."""

import socket
from contextlib import ExitStack, suppress

import httpx

from tests.service.image_files import grey
from tests.serving import request_anew

PNG = {"Content-Type": "image/png"}


def post(path: str, body: bytes, *, declared: int | None = None, headers: str = "Content-Type: image/png") -> bytes:
    """A request's bytes. declared: the Content-Length, if it is not the body's."""
    length = len(body) if declared is None else declared
    head = f"POST {path} HTTP/1.1\r\nHost: striate\r\n{headers}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def call(url: httpx.URL, sent: bytes, held: ExitStack, *, timeout_s: float = 120) -> socket.socket:
    """Opens a connection with a small window of its own, and sends; the service may have closed it by then."""
    caller = held.enter_context(socket.socket())
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.settimeout(120)
    caller.connect((url.host, url.port))
    caller.settimeout(timeout_s)
    with suppress(ConnectionError, TimeoutError):
        caller.sendall(sent)
    return caller


def status(caller: socket.socket) -> int:
    """The status of the answer, of which nothing more is read; 0 if the connection was closed."""
    try:
        return int(caller.recv(12)[9:] or 0)
    except ConnectionError:
        return 0


def small_is_right(url: httpx.URL) -> bool:
    got = request_anew("POST", url.join("/predict?model=brightness"), content=grey(204), headers=PNG)
    return got.status_code == 200 and got.json()["classes"][0]["label"] == "bright"


def takes_a_body_of(url: httpx.URL, nbytes: int) -> bool:
    """Returns whether a body of this size is read to its end, which needs all of this budget."""
    got = request_anew("POST", url.join("/predict?model=brightness"), content=bytes(nbytes), headers=PNG)
    return got.status_code == 415
