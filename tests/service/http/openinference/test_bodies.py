"""Tests of bodies: compression, JSON, and the bytes after it."""

import asyncio
import gzip
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import orjson
import pytest

from service.errors import TooManyBytes
from service.http.errors import MalformedRequest
from service.http.openinference.bodies import accepted, compressed, plain, plain_if_small, split
from service.scheduling.memory_budget import SMALL_BYTES, MemoryBudget
from service.scheduling.work import Reservation
from tests.conftest import Client
from tests.service.http.openinference.requests import INFER, LENGTH, ask, binary, elements, images, prepared, tensor
from tests.service.image_files import grey

pytestmark = pytest.mark.anyio
MIB = 2**20
GOOD = prepared(0.8)
NAN = prepared(0.8)
NAN[0, 0, 3, 3] = np.nan


def _sent(given: Any, data: bytes, **headers: str) -> tuple[bytes, dict[str, str]]:
    body, own = binary(ask(given), data)
    return body, own | {name.replace("_", "-"): value for name, value in headers.items()}


ONE = GOOD.tobytes()


SHORT = elements(grey(0))


BAD_BODIES: dict[str, tuple[tuple[bytes, dict[str, str]], int, str, str]] = {
    "no JSON": ((b"hello", {}), 400, "malformed_request", "not JSON"),
    "nothing": ((b"", {}), 400, "malformed_request", "not JSON"),
    "NaN in JSON": ((b'{"inputs": [{"data": [NaN]}]}', {}), 400, "malformed_request", "not JSON"),
    "lists without an end": ((b"[" * 60_000, {}), 400, "malformed_request", "not JSON"),
    "JSON that is no UTF-8": ((b'{"id": "\xff"}', {}), 400, "malformed_request", "not JSON"),
    "more numbers than are read": ((b"[" + b"0," * 2**20 + b"0]", {}), 400, "malformed_request", "as binary data"),
    "more lists than are read": ((b"[" * 2**16 + b"{", {}), 400, "malformed_request", "as binary data"),
    "a header longer than the body": ((b"{}", {LENGTH: "3"}), 400, "malformed_request", "the body has 2 bytes"),
    "a header that is no number": ((b"{}", {LENGTH: "-2"}), 400, "malformed_request", "'-2'"),
    "a header of many digits": ((b"{}", {LENGTH: "1" * 5000}), 400, "malformed_request", "no number"),
    "a raw request": ((ONE, {LENGTH: "0"}), 400, "malformed_request", "not JSON"),
    "too few bytes": (_sent(tensor(GOOD), ONE[:-4]), 422, "bad_tensor", "256 bytes, not 252"),
    "too many bytes": (_sent(tensor(GOOD), ONE + ONE), 422, "bad_tensor", "256 bytes, not 512"),
    "bytes that nobody announced": (
        ((body := orjson.dumps(ask(tensor(GOOD)))) + b"....", {LENGTH: str(len(body))}), 422, "bad_tensor", "0, but 4",
    ),
    "NaN": (_sent(tensor(NAN), NAN.tobytes()), 422, "not_finite", "1 pixel"),
    "infinity": (_sent(tensor(GOOD), np.full(64, np.inf, np.float32).tobytes()), 422, "not_finite", "64 pixel"),
    "a file cut short": (_sent(images(grey(0)), SHORT[:-1]), 422, "bad_tensor", "within element 0, of"),
    "a length cut short": (_sent(images(grey(0)), b"\1\0"), 422, "bad_tensor", "within the length of element 0"),
    "more files than said": (_sent(images(grey(0)), SHORT + SHORT), 422, "bad_tensor", f"{len(SHORT)} bytes follow"),
    "an endless file": (_sent(images(grey(0)), b"\xff\xff\xff\xff"), 422, "bad_tensor", "4,294,967,295"),
    "an unknown encoding": (_sent(tensor(GOOD), ONE, Content_Encoding="br"), 415, "unsupported_encoding", "'gzip'"),
    "two encodings": (_sent(tensor(GOOD), ONE, Content_Encoding="gzip, gzip"), 415, "unsupported_encoding", "'gzip'"),
    "what is no gzip": (_sent(tensor(GOOD), ONE, Content_Encoding="gzip"), 400, "malformed_request", "'gzip'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_a_bad_body_says_what_is_wrong(serving: Client, case: str) -> None:
    (body, headers), status, code, says = BAD_BODIES[case]
    async with serving() as http:
        refused = await http.post("/v2/models/brightness/infer", content=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert says in refused.json()["error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_bodies_are_compressed_in_both_directions(serving: Client, encoding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[encoding]
    values = prepared(*np.linspace(0, 1, 16))
    asked = ask(tensor(values), parameters={"binary_data_output": True})
    async with serving() as http:
        plain = await http.post(INFER, json=asked, headers={"Accept-Encoding": "gzip;q=0, br"})
        body, headers = binary(asked, values.tobytes())
        sent = {**headers, "Content-Encoding": encoding, "Accept-Encoding": encoding}
        answer = await http.post(INFER, content=pack(body), headers=sent)
    assert answer.headers.get("Content-Encoding", "identity") == encoding
    assert "Content-Encoding" not in plain.headers
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.content == plain.content  # httpx inflates
    assert answer.headers[LENGTH] == plain.headers[LENGTH]


async def test_a_body_is_inflated_no_further_than_its_bound(serving: Client) -> None:
    bomb = gzip.compress(bytes(10**7))
    async with serving(max_upload_bytes=2**20) as http:
        answer = await http.post(INFER, content=bomb, headers={"Content-Encoding": "gzip"})
    assert len(bomb) < 2**20
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_bytes")


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", ""),
        ("br, zstd", ""),
        ("deflate, gzip", "gzip"),  # our own order
        ("DEFLATE", "deflate"),
        ("gzip;q=0.5, br", "gzip"),
        ("gzip;q=0", ""),
        ("gzip; q=0.000, deflate", "deflate"),
    ],
)
def test_the_compression_is_the_first_of_ours_that_is_accepted(header: str, encoding: str) -> None:
    assert accepted(header) == encoding


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_is_whole_and_alone(encoding: str) -> None:
    packed = compressed(bytes(1000), encoding)
    assert len(packed) < 100
    assert plain(packed, encoding, max_bytes=1000, reserve=print) == bytes(1000)
    with pytest.raises(TooManyBytes):
        plain(packed, encoding, max_bytes=999, reserve=print)
    for broken, reason in ((packed[:-1], "cut short"), (packed + b"more", "follows"), (packed * 2, "follows")):
        with pytest.raises(MalformedRequest, match=reason):
            plain(broken, encoding, max_bytes=1000, reserve=print)


@pytest.mark.parametrize("content", [bytes(10 * MIB + 1), random.Random(0).randbytes(10 * MIB + 1)], ids=["0", "noise"])
def test_memory_is_reserved_before_a_body_grows(content: bytes) -> None:
    asked: list[int] = []
    assert plain(zlib.compress(content, 1), "deflate", max_bytes=11 * MIB, reserve=asked.append) == content
    assert asked == [MIB] * 12  # the last before it is known that nothing follows


@pytest.mark.parametrize(
    ("nbytes", "max_bytes", "reserved"),
    [
        (SMALL_BYTES, 2 * SMALL_BYTES, [SMALL_BYTES]),
        (SMALL_BYTES + 1, 2 * SMALL_BYTES, []),
        (1001, 1000, []),
    ],
)
def test_memory_of_a_small_body_is_reserved_when_its_size_is_known(
    nbytes: int, max_bytes: int, reserved: list[int]
) -> None:
    asked: list[int] = []
    found = plain_if_small(zlib.compress(bytes(nbytes)), "deflate", max_bytes=max_bytes, reserve=asked.append)
    assert found == (bytes(nbytes) if reserved else None)
    assert asked == reserved


async def test_a_body_that_stays_small_does_not_wait_behind_one_that_does_not(
    serving: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small, gate = zlib.compress(bytes(2 * MIB)), zlib.compress(orjson.dumps(ask(tensor(GOOD)))), Event()
    monkeypatch.setattr("service.http.openinference.routes.plain", lambda *_, **__: gate.wait(60) and b"")
    async with serving() as http, asyncio.timeout(30):
        send = partial(http.post, INFER, headers={"Content-Encoding": "deflate"})
        waiting = asyncio.create_task(send(content=large))
        await asyncio.sleep(0.1)
        assert (await send(content=small)).status_code == 200
        gate.set()
        assert (await waiting).status_code == 400


def test_nothing_is_inflated_for_which_there_is_no_room() -> None:
    with Reservation(MemoryBudget(5 * MIB)) as reservation, pytest.raises(TooManyBytes, match="5,242,880 bytes"):
        plain(zlib.compress(bytes(60 * MIB)), "deflate", max_bytes=64 * MIB, reserve=reservation.reserve_more)


@pytest.mark.parametrize(
    ("text", "bytes_a_character"),
    [
        ("a" * MIB, 1),
        ("a" * MIB + r"\n", 1),
        ("a" * MIB + "😀", 4),
        ("a" * MIB + r"\ud83d\ude00", 4),
        ("a" * 1000 + "😀", 0),  # a small body
    ],
    ids=["ASCII", "a line break", "an emoji", "an escaped emoji", "a small body"],
)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_memory_is_reserved_for_the_strings_of_json(
    text: str, bytes_a_character: int, kind: Callable[[bytes], bytes | bytearray]
) -> None:
    """As much as Python takes, and 32 bytes for each of the four quotation marks."""
    asked: list[int] = []
    body = f'{{"unknown":"{text}"}}'.encode()
    document, _ = split(kind(body + b"\xff"), str(len(body)), reserve=asked.append)
    assert asked == ([bytes_a_character * len(body) + 4 * 32] if bytes_a_character else [])
    assert not asked or asked[0] > sys.getsizeof(document["unknown"])


@pytest.mark.parametrize("item", ["0.12345678", '"abcdefgh"'])
def test_memory_is_reserved_for_the_values_of_json(item: str) -> None:
    asked: list[int] = []
    body = f'{{"data":[{",".join([item] * 60_000)}]}}'.encode()
    tracemalloc.start()
    document, _ = split(body, None, reserve=asked.append)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(document["data"]) == 60_000
    assert taken < asked[0]


def test_nothing_is_parsed_for_which_there_is_no_room() -> None:
    body = orjson.dumps({"id": "a" * MIB + "😀"})
    with (
        Reservation(MemoryBudget(3 * MIB)) as reservation,
        pytest.raises(TooManyBytes, match=r"becomes of .* than 3,145,728 bytes"),
    ):
        split(body, None, reserve=reservation.reserve_more)


def test_a_body_is_its_json_and_the_bytes_after_it() -> None:
    document, rest = split(b'{"id": "a"}\0\1', "11", reserve=print)
    assert (document, bytes(rest)) == ({"id": "a"}, b"\0\1")
    document, rest = split(b'{"id": "a"}', None, reserve=print)
    assert (document, bytes(rest)) == ({"id": "a"}, b"")
