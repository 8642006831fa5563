"""Tests of request bodies: their media type, size, images and options."""

import pytest
from starlette.requests import Request
from starlette.types import Message

from service.errors import InvalidOption, TooManyBytes
from service.http.errors import CallerGone, MissingField, UnknownField, UnsupportedBody
from service.http.request import check_media_type, parse_body, parse_options, read_body, require
from service.scheduling.memory_budget import SMALL_BYTES, MemoryBudget
from service.scheduling.work import Reservation
from service.tasks.classification import PredictOptions
from tests.conftest import Client
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio
GOOD = grey(204)


async def test_an_image_may_be_the_body_and_its_options_the_query(serving: Client) -> None:
    async with serving() as http:
        answer = await http.post("/predict?top_k=1", content=grey(0), headers={"Content-Type": "image/png"})
    assert [found["label"] for found in answer.json()["classes"]] == ["dark"]


async def test_a_body_that_is_too_large_is_refused_by_its_length(serving: Client) -> None:
    async with serving(max_upload_bytes=2000) as http:
        refused = await http.post("/predict", files=form(bytes(3000)))
        after = await http.post("/predict", files=form(GOOD))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_bytes")
    assert "2,000 bytes" in refused.json()["error"]
    assert after.status_code == 200


async def test_a_body_that_is_too_large_is_refused_while_it_comes(serving: Client) -> None:
    sent = 0

    async def endless():  # chunked: there is no Content-Length
        nonlocal sent
        for _ in range(1000):
            sent += 1000
            yield bytes(1000)

    async with serving(max_upload_bytes=20_000) as http:
        refused = await http.post("/predict", content=endless(), headers={"Content-Type": "image/png"})
    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_bytes")
    assert sent <= 22_000


@pytest.mark.parametrize("kind", ["application/xml", "text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_of_another_kind_is_refused(serving: Client, kind: str) -> None:
    async with serving() as http:
        refused = await http.post("/predict", content=b"{}", headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_body")
    assert kind in refused.json()["error"]


def request(*chunks: bytes, query: str = "", gone: bool = False, **headers: str) -> Request:
    """A request whose body comes in these chunks; gone: the caller leaves instead of sending the last."""
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if gone else {"type": "http.request"})

    async def receive() -> Message:
        return messages.pop(0)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": named, "query_string": query.encode()}, receive)


@pytest.mark.parametrize(
    ("kind", "is_form"),
    [
        ("multipart/form-data; boundary=x", True),
        ("Multipart/Form-Data; boundary=x", True),
        ("image/png", False),
        ("image/tiff; q=1", False),
        ("application/octet-stream", False),
        ("application/x-npy", False),
        ("application/json", False),
    ],
)
def test_a_body_is_a_form_or_one_file(kind: str, is_form: bool) -> None:
    assert check_media_type(request(content_type=kind)) is is_form


def test_a_body_without_a_media_type_is_refused() -> None:
    with pytest.raises(UnsupportedBody):
        check_media_type(request())


def test_a_form_is_its_files_in_order_and_its_other_fields() -> None:
    parts = [
        '--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\none\r\n',
        '--x\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n2\r\n',
        '--x\r\nContent-Disposition: form-data; name="image"; filename="b"\r\n\r\ntwo\r\n--x--\r\n',
    ]
    asked = request(query="model=digits", content_type="multipart/form-data; boundary=x")
    sent = parse_body(asked, "".join(parts).encode(), is_form=True)
    assert sent.images == (b"one", b"two")
    assert sent.fields == {"model": "digits", "top_k": "2"}


def test_an_empty_option_counts_as_absent_and_the_model_is_none_of_them() -> None:
    assert parse_options(PredictOptions, {"top_k": "", "model": "digits"}) == PredictOptions(top_k=5)
    assert parse_options(PredictOptions, {"top_k": "3"}) == PredictOptions(top_k=3)
    with pytest.raises(UnknownField, match="'image', 'model', 'top_k'"):
        parse_options(PredictOptions, {"top_k": "3", "topk": ""})
    with pytest.raises(InvalidOption, match="top_k = '0'"):
        parse_options(PredictOptions, {"top_k": "0"})


def test_the_model_is_the_one_named_or_the_only_one_able() -> None:
    assert require((b"file",), "other", able=("digits",)) == "other"
    assert require((b"file",), None, able=("digits",)) == "digits"
    with pytest.raises(MissingField, match="none that serves"):
        require((b"file",), None, able=())
    with pytest.raises(MissingField, match=r"'image' \(a file\) and 'model' \(one of a, b\)"):
        require((), None, able=("a", "b"))


def charged(budget: MemoryBudget, asked: Request) -> Reservation:
    """Gives a request its reservation, as the middleware does."""
    asked.scope["reservation"] = reservation = Reservation(budget)
    return reservation


async def test_a_body_is_reserved_before_it_comes_and_while_it_comes() -> None:
    budget = MemoryBudget(8 * SMALL_BYTES)
    chunk = bytes(SMALL_BYTES)
    asked = request(chunk, chunk, content_length=str(5 * SMALL_BYTES))
    with charged(budget, asked):
        whole = await read_body(asked, 2**30)
        assert (len(whole), budget.reserved_bytes) == (2 * SMALL_BYTES, 5 * SMALL_BYTES)  # what was announced
    asked = request(chunk, chunk, chunk)
    with charged(budget, asked):
        await read_body(asked, 2**30)
        assert budget.reserved_bytes == 3 * SMALL_BYTES
    assert budget.reserved_bytes == 0
    asked = request(gone=True, content_length=str(9 * SMALL_BYTES))
    with charged(budget, asked), pytest.raises(TooManyBytes):  # not CallerGone: nothing of it is waited for
        await read_body(asked, 2**30)


async def test_a_caller_who_leaves_while_it_sends_ends_the_reading() -> None:
    asked = request(b"half", gone=True)
    with charged(MemoryBudget(0), asked), pytest.raises(CallerGone):
        await read_body(asked, 2**30)
