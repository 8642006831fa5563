"""One image that needs more memory than there is: it alone is refused, by reckoning or, failing that, by the system."""

import selectors
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import Client
from tests.service.exposition import metric
from tests.service.faults.callers import callers
from tests.service.http.live_server import live, received, statuses
from tests.service.image_files import form, grey, png_claiming
from tests.service.service_processes import children, until
from tests.serving import served

SIDE = 7000  # 49 megapixels, within STRIATE_MAX_PIXELS
MIB = 2**20
LEFT_BYTES = 600 * MIB  # of address space, to the process that is ready


@pytest.mark.anyio
async def test_a_large_image_is_answered_where_there_is_room_and_refused_where_not(serving: Client) -> None:
    large = form(grey(0, height=2100, width=2100))
    for image_bytes, status in ((2**31, 200), (2**28, 413)):
        async with serving(image_bytes=image_bytes) as http:
            for _ in range(2):  # what the first took has been given back
                got = await http.post("/segment", files=large, data={"model": "blobs"}, timeout=60)
                assert got.status_code == status
            vast = form(png_claiming(60_000, 1_000))
            beyond = await http.post("/segment", files=vast, data={"model": "blobs"})
            assert beyond.json()["code"] == "too_many_pixels"


class Slow:
    """A caller whose image is on its way."""

    def __init__(self, port: int, length: str, held: ExitStack, *, path: str = "/predict") -> None:
        self.connection = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=120))
        head = f"POST {path} HTTP/1.1\r\nHost: striate\r\nContent-Type: image/png\r\nConnection: close\r\n"
        self.connection.sendall(f"{head}{length}\r\n\r\n".encode())

    def chunk(self, nbytes: int) -> None:
        self.connection.sendall(b"%x\r\n%s\r\n" % (nbytes, bytes(nbytes)))


def in_flight(port: int) -> float:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=120).text
    return metric(text, "striate_in_flight_requests") - 1  # this one


def small_is_answered(port: int) -> bool:
    got = httpx.post(f"http://127.0.0.1:{port}/predict", files=form(grey(204)), timeout=120)
    return got.status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/v2/models/brightness/infer"])
def test_bodies_that_come_slowly_share_the_budget_and_give_it_back(root: Path, path: str) -> None:
    declared = f"Content-Length: {5 * MIB}"
    with live(root, image_bytes=16 * MIB, timeout_s=240.0) as port, ExitStack() as held:
        slow = [Slow(port, declared, held, path=path) for _ in range(3)]
        until(lambda: in_flight(port) == 3)
        refused = received(Slow(port, declared, held, path=path).connection)
        assert (statuses(refused), b"memory_full" in refused, b"retry-after: 2" in refused.lower()) == (
            [503],
            True,
            True,
        )
        assert small_is_answered(port)
        slow[1].connection.close()
        until(lambda: in_flight(port) == 2)
        slow[0].connection.sendall(bytes(5 * MIB))  # it is all there, it is answered, and its place is free
        assert statuses(received(slow[0].connection)) in ([415], [400])
        until(lambda: in_flight(port) == 1)
        again = [Slow(port, declared, held, path=path) for _ in range(2)]
        until(lambda: in_flight(port) == 3)
        assert statuses(received(Slow(port, declared, held, path=path).connection)) == [503]
        for each in (slow[2], *again):
            each.connection.close()
        until(lambda: in_flight(port) == 0)


def test_a_body_of_unknown_length_counts_as_it_comes(root: Path) -> None:
    with live(root, image_bytes=16 * MIB, timeout_s=240.0) as port, ExitStack() as held:
        both = [Slow(port, "Transfer-Encoding: chunked", held) for _ in range(2)]
        for each in both:
            each.chunk(10 * MIB)
        with selectors.DefaultSelector() as selector:  # select() itself takes no more than 1024 files of a process
            for each in both:
                selector.register(each.connection, selectors.EVENT_READ, each)
            ((refused, _),) = selector.select(120)  # either, but one of them
        assert b"memory_full" in received(refused.data.connection)
        (other,) = (each for each in both if each is not refused.data)
        other.chunk(7 * MIB)
        told = received(other.connection)
        assert (statuses(told), b"16,777,216 bytes" in told) == ([413], True)
        assert small_is_answered(port)


CASES = {"by reckoning": (2**30, 413, "image_too_large"), "by the system": (6 * 2**30, 503, "memory_full")}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sets limits as Linux has them")
@pytest.mark.parametrize("case", CASES)
def test_a_huge_image_is_refused_and_nobody_else_is(root: Path, tmp_path: Path, case: str) -> None:
    image_bytes, status, code = CASES[case]
    variables = {"STRIATE_MODELS": str(root), "STRIATE_IMAGE_BYTES": str(image_bytes), "STRIATE_TIMEOUT_S": "240"}
    with served(tmp_path / "log", **variables) as (http, process):
        (worker,) = children(process, "_bentoml_impl.worker.service")
        limit = worker.memory_info().vms + LEFT_BYTES
        worker.rlimit(psutil.RLIMIT_AS, (limit, limit))
        with callers(http.base_url, count=2) as told:
            for _ in range(2):  # what the first took has been given back
                huge = form(grey(9, height=SIDE, width=SIDE))
                refused = httpx.post(http.base_url.join("/segment"), files=huge, data={"model": "blobs"}, timeout=240)
                assert (refused.status_code, refused.json()["code"]) == (status, code)
        metrics = http.get("/metrics").text
        assert worker.is_running()
    assert told.right > 0
    assert told.errors == told.wrong == told.lost == []
    assert metric(metrics, "striate_errors_total", code=code) == 2
