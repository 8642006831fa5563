"""Nothing of a request is left once it has been answered, whatever became of it, though no garbage is collected.

A cycle of references, such as between an error and the frames that it went through, would keep a body and its image
until the collector comes, long after their memory was counted as free.
"""

import gc
import json
import socket
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from service.http.exchange import Exchange
from service.pipeline.pipeline import Inference
from service.pipeline.prepare import PreparedImage
from service.scheduling.work import Work
from service.scheduling.work_item import WorkItem
from service.telemetry.request_context import RequestContext
from tests import tiny
from tests.service.fragile_network import fragile
from tests.service.hostile.raw_callers import post
from tests.service.http.live_server import exchange, live, statuses
from tests.service.image_files import grey, jpeg, png_claiming, tiff
from tests.service.service_processes import until

OURS = Exchange, Work, WorkItem, Inference, PreparedImage
SIDE = 1100  # decoded in a process of its own
NOISE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
CLOSE = "Content-Type: image/png\r\nConnection: close"
FORM = "Content-Type: multipart/form-data; boundary=x\r\nConnection: close"
JSON = "Content-Type: application/json\r\nConnection: close"
GZIP = f"{JSON}\r\nContent-Encoding: deflate"
V2 = "/v2/models/brightness/infer"


def damaged(side: int) -> bytes:
    return jpeg(NOISE[:side, :side])[:-400]


def form(*images: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return b"".join(head + image + b"\r\n" for image in images) + b"--x--\r\n"


def tensors(n: int, **parameters: object) -> bytes:
    inputs = [{"name": "image", "shape": [n, 1, 8, 8], "datatype": "FP32", "data": [0.9] * 64 * n}]
    return json.dumps({"inputs": inputs, "parameters": parameters}).encode()


def to(path: str, body: bytes, headers: str = CLOSE) -> bytes:
    return post(path, body, headers=headers)


SENT = {
    "a small image": (to("/predict?model=brightness", grey(204)), 200),
    "one for a worker": (to("/predict?model=brightness", grey(204, height=500, width=500)), 200),
    "one for a decoder's process": (to("/predict?model=brightness", tiff(NOISE)), 200),
    "tiles": (to("/segment?model=blobs", grey(204, height=500, width=500)), 200),
    "several": (to("/predict?model=brightness", form(grey(204), grey(10)), FORM), 200),
    "several, one of them damaged": (to("/predict?model=brightness", form(grey(204), damaged(500)), FORM), 200),
    "several, one of them fails": (to("/predict?model=fragile", form(grey(0), grey(255)), FORM), 200),
    "tensors": (to(V2, tensors(3), JSON), 200),
    "occlusion": (to("/cam?model=brightness&method=occlusion", grey(204)), 200),
    "a damaged small image": (to("/predict?model=brightness", damaged(32)), 422),
    "a damaged one for a worker": (to("/predict?model=brightness", damaged(500)), 422),
    "a damaged one for a process": (to("/predict?model=brightness", damaged(SIDE)), 422),
    "a hidden size": (to("/predict?model=brightness", png_claiming(30_000, 30_000)), 413),
    "no image": (to("/predict?model=brightness", b"hello " * 20_000), 415),
    "no model": (to("/predict?model=nothing", grey(204)), 404),
    "an unknown field": (to("/predict?model=brightness&colour=red", grey(204)), 400),
    "no JSON": (to(V2, b"{" * 300_000, JSON), 400),
    "a wrong shape": (to(V2, tensors(1).replace(b"[1, 1, 8, 8]", b"[1, 2, 8, 8]"), JSON), 422),
    "no compressed data": (to(V2, bytes(3_000_000), GZIP), 400),
    "a compressed bomb": (to(V2, zlib.compress(bytes(40_000_000)), GZIP), 413),
    "compressed zeros": (to(V2, zlib.compress(bytes(15_000_000)), GZIP), 400),
    "a long id": (to(V2, tensors(1)[:-1] + b', "id": "' + b"a" * 5_000_000 + b'"}', JSON), 400),
    "a network that fails": (to("/predict?model=fragile", grey(255)), 500),
    "a network that fails, for a worker": (to("/predict?model=fragile", grey(255, height=500, width=500)), 500),
    "a network that fails in one of many passes": (to("/cam?model=fragile&method=occlusion", grey(255)), 500),
    "no time": (to(V2, tensors(1, timeout=1), JSON), 504),
    "no time for several": (to(V2, tensors(5, timeout=1), JSON), 504),
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    root = tmp_path_factory.mktemp("packages")
    tiny.brightness(root)
    tiny.blobs(root)
    fragile(root)
    with live(root, image_bytes=40 * 2**20, timeout_s=5.0) as port:
        yield port


def objects() -> list[object]:
    """What requests are made of; of a connection's last one the context may be left, without its images."""
    every = gc.get_objects()
    # By type(): any attribute of some of torch's objects warns that it is deprecated.
    return [each for each in every if type(each) in OURS or (type(each) is RequestContext and each.images)]


@pytest.fixture
def nothing_left() -> Iterator[Callable[[], None]]:
    """Waits until all that was made since has gone, by itself. Fails after a while, and says what is left."""
    gc.collect()
    gc.disable()
    before = objects()
    known = {id(each) for each in before}

    def left() -> Counter[str]:
        return Counter(type(each).__name__ for each in objects() if id(each) not in known)

    def check() -> None:
        with suppress(AssertionError):
            until(lambda: not left(), timeout_s=10)
        assert not left()

    yield check
    gc.enable()


@pytest.mark.parametrize("name", SENT)
def test_nothing_is_left_of_a_request(port: int, name: str, nothing_left: Callable[[], None]) -> None:
    sent, status = SENT[name]
    for _ in range(3):
        assert statuses(exchange(port, sent)) == [status]
    nothing_left()


def test_nothing_is_left_where_memory_is_full(root: Path, nothing_left: Callable[[], None]) -> None:
    """Images are tried again when there is room; what was refused is not kept meanwhile."""
    segment = to("/segment?model=blobs", grey(204, height=600, width=600))
    with live(root, image_bytes=40 * 2**20, timeout_s=0.6) as port, ThreadPoolExecutor(24) as callers:
        answers = callers.map(lambda _: exchange(port, segment), range(96))
        told = Counter(code for answer in answers for code in statuses(answer))
        assert min(told[200], told[503]) > 0, told
        nothing_left()


def test_nothing_is_left_of_callers_who_leave(port: int, nothing_left: Callable[[], None]) -> None:
    for n in range(20):
        with socket.create_connection(("127.0.0.1", port)) as caller, suppress(TimeoutError):
            caller.sendall(to("/segment?model=blobs", grey(204, height=700, width=700)))
            caller.settimeout(0.01 * n + 0.001)
            caller.recv(1)
    nothing_left()


def test_a_connection_that_rests_keeps_no_image(port: int, nothing_left: Callable[[], None]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(post("/predict?model=brightness", grey(204, height=500, width=500)))
        assert caller.recv(12).endswith(b"200")
        nothing_left()
