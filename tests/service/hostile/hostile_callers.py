"""Hostile callers, many at once, each of which does one kind of harm after another, in a process of their own.

    python -m tests.service.hostile.hostile_callers <seed>

says "ready" when it has made what it sends, reads a line "<url> <key> <seconds>", and then begins. At the end it prints
how often each kind was tried, and what came of it.
"""

import json
import random
import socket
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx

from tests.service.hostile import hostile_images, raw_callers
from tests.service.hostile.raw_callers import status
from tests.service.image_files import grey

CALLERS = 64
TIMEOUT_S, LEAST_S = 40, 0.05  # beyond the deadline of any request; but nobody goes on when the storm is over
MIB = 2**20
QUESTIONS = (
    "/predict?model=pneumonia",
    "/cam?model=digits&format=overlay",
    "/segment?model=nuclei",
    "/predict?model=brightness",
)
OPTIONS = (
    "/predict?model=nobody", "/predict?model=nuclei", "/segment?model=pneumonia", "/predict?model=pneumonia&top_k=none",
    "/cam?model=digits&label=nobody", "/cam?model=digits&format=exe",
    "/activations?model=digits&layer=nobody", "/segment?model=nuclei&format=%00", "/v2/models/digits/infer",
    "/v2/models/digits/versions/9/infer", "/models/digits/files/../../../etc/passwd", "/nothing",
)  # fmt: skip
UNTAKEN = "/cam?model=digits&format=raw"  # large answers for little work
ADMINISTRATIVE = ("/v2/repository/index", "/v2/repository/models/digits/load")
MALFORMED = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\nabcdef",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-6\r\nabcdef\r\n0\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Note: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X-Note: a\r\n" * 5000 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
)
INFLATING = zlib.compress(bytes(63 * MIB)), zlib.compress(b"[" * 63 * MIB), zlib.compress(b'{"inputs": 1}' * MIB)


@dataclass
class HostileCaller:
    """One of them, until `end`. key: of an account that may infer and operate. hold_s: of a connection."""

    url: httpx.URL
    key: str
    chance: random.Random
    images: dict[str, list[bytes]]
    end: float
    hold_s: float
    done: Counter[str] = field(default_factory=Counter)

    @property
    def left_s(self) -> float:
        return max(LEAST_S, self.end - time.monotonic())

    def go_on(self) -> None:
        kinds = list(KINDS)
        while time.monotonic() < self.end:
            kind = self.chance.choice(kinds)
            try:
                outcome = KINDS[kind](self)
            except OSError as error:
                outcome = type(error).__name__
            self.done[f"{kind}: {outcome}"] += 1

    def post(self, path: str, body: bytes, *, declared: int | None = None, headers: str = "") -> bytes:
        own = headers or "Content-Type: image/png"
        return raw_callers.post(path, body, declared=declared, headers=f"{own}\r\nX-API-Key: {self.key}")

    @contextmanager
    def connected(self, sent: bytes) -> Iterator[socket.socket]:
        """A connection on which these bytes have been sent; it ends in one of two ways."""
        with ExitStack() as held:
            caller = raw_callers.call(self.url, sent, held, timeout_s=min(TIMEOUT_S, self.left_s))
            yield caller
            if self.chance.random() < 0.5:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset

    def asks(self, sent: bytes) -> object:
        with self.connected(sent) as caller:
            return status(caller)

    def leaves(self, sent: bytes, *, within_s: float) -> object:
        with self.connected(sent):
            time.sleep(self.chance.uniform(0, within_s))
        return "left"

    def holds(self, sent: bytes) -> object:
        with self.connected(sent):
            time.sleep(min(self.chance.uniform(0.2, 1) * self.hold_s, self.left_s))
        return "held"

    def image(self, kind: str) -> bytes:
        image = self.chance.choice(self.images[kind])
        return hostile_images.damaged(image, self.chance) if kind == "real" else image

    def about_an_image(self, kind: str) -> bytes:
        return self.post(self.chance.choice(QUESTIONS), self.image(kind))


def sends_slowly(caller: HostileCaller) -> object:
    end = min(caller.end, time.monotonic() + caller.hold_s)
    with caller.connected(caller.post("/predict", b"slow", declared=100_000)) as connection:
        while time.monotonic() < end:
            connection.sendall(b"x")
            time.sleep(0.3)
    return "held"


def takes_slowly(caller: HostileCaller) -> object:
    end = min(caller.end, time.monotonic() + caller.hold_s)
    with caller.connected(caller.post(UNTAKEN, grey(100, height=2000, width=2000))) as connection:
        while time.monotonic() < end and connection.recv(1000):
            time.sleep(0.3)
    return "held"


def is_silent(caller: HostileCaller) -> object:
    starts = (b"", b"POST /predict HTTP/1.1\r\nHos", caller.post("/predict", b"half", declared=100_000))
    return caller.holds(caller.chance.choice(starts))


def has_a_wrong_key(caller: HostileCaller) -> object:
    key = caller.chance.choice(["", "striate_" + "A" * 43, caller.key[:-1], caller.key * 2, "\xff" * 9])
    path = caller.chance.choice([*QUESTIONS, *ADMINISTRATIVE, "/metrics"])
    return caller.asks(raw_callers.post(path, bytes(1000), headers=f"X-API-Key: {key}"))


def asks_too_much_at_once(caller: HostileCaller) -> object:
    many = caller.post("/predict?model=digits", grey(9)) * caller.chance.randint(2, 40)
    return caller.chance.choice([caller.asks, caller.holds, partial(caller.leaves, within_s=0.3)])(many)


def sends_what_is_no_http(caller: HostileCaller) -> object:
    sent = caller.chance.choice([*MALFORMED, hostile_images.damaged(caller.about_an_image("real"), caller.chance)])
    return caller.holds(sent)


def sends_a_form_of_anything(caller: HostileCaller) -> object:
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%b\r\n'
    parts = b"".join(part % caller.image("real")[:5000] for _ in range(caller.chance.choice([1, 5, 65])))
    end = caller.chance.choice([b"--b--\r\n", b"--b", b""])
    return caller.asks(
        caller.post("/predict?model=digits", parts + end, headers="Content-Type: multipart/form-data; boundary=b")
    )


def inflates(caller: HostileCaller) -> object:
    body = caller.chance.choice(INFLATING)
    return caller.asks(caller.post("/v2/models/digits/infer", body, headers="Content-Encoding: deflate"))


KINDS: dict[str, Callable[[HostileCaller], object]] = {
    "costly image": lambda caller: caller.asks(caller.about_an_image("crafted")),
    "damaged image": lambda caller: caller.asks(caller.about_an_image("real")),
    "large image given up": lambda caller: caller.leaves(caller.about_an_image("large"), within_s=2),
    "any image given up": lambda caller: caller.leaves(caller.about_an_image("real"), within_s=0.1),
    "silence": is_silent,
    "slow body": sends_slowly,
    "slow reading": takes_slowly,
    "answer untaken": lambda caller: caller.holds(caller.post(UNTAKEN, grey(100, height=2000, width=2000))),
    "body that inflates": inflates,
    "no HTTP": sends_what_is_no_http,
    "requests ahead": asks_too_much_at_once,
    "administrative body without end": lambda caller: caller.holds(
        caller.post(caller.chance.choice(ADMINISTRATIVE), b"{", declared=100)
    ),
    "wrong key": has_a_wrong_key,
    "wrong options": lambda caller: caller.asks(
        caller.post(caller.chance.choice(OPTIONS), caller.chance.choice(caller.images["real"]))
    ),
    "form of anything": sends_a_form_of_anything,
}


def callers_of(url: str, key: str, seconds: float, images: dict[str, list[bytes]], seed: int) -> list[HostileCaller]:
    own = (httpx.URL(url), key)
    end, hold_s = time.monotonic() + seconds, min(20, seconds / 4)
    return [HostileCaller(*own, random.Random(1000 * seed + n), images, end, hold_s) for n in range(CALLERS)]


def main(seed: int) -> None:
    images = {kind: getattr(hostile_images, kind)() for kind in ("crafted", "large", "real")}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    url, key, seconds = sys.stdin.readline().split()
    callers = callers_of(url, key, float(seconds), images, seed)
    threads = [threading.Thread(target=caller.go_on) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum((caller.done for caller in callers), Counter())
    sys.stdout.write(json.dumps(dict(sorted(total.items()))) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
