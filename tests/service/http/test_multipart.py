"""Tests of the multipart parser: valid forms, malformed ones, and those of a client library."""

import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.errors import MalformedRequest
from service.http.multipart import form_parts

KIND = "multipart/form-data; boundary=xyz"
FILE = 'form-data; name="image"; filename="a.png"'


def part(disposition: str, content: bytes, *others: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: {disposition}", *others]).encode()
    return b"--xyz\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


END = b"--xyz--\r\n"
BINARY = bytes(range(256)) + b"\r\n--xy\r\n--xyzz\r\n\r\n--" + bytes(100)  # nearly the boundary, three times

ONE = [("image", True, b"x")]

GOOD = {
    "a field": (part('form-data; name="top_k"', b"5"), [("top_k", False, b"5")]),
    "a file": (part(FILE, BINARY, "Content-Type: image/png"), [("image", True, BINARY)]),
    "an empty file": (part(FILE, b""), [("image", True, b"")]),
    "an empty file name": (part('form-data; name="image"; filename=""', b"x"), ONE),
    "a name without quotes": (part("form-data; name=image; filename=a.png", b"x"), ONE),
    "a semicolon in a file's name": (part('form-data; name="image"; filename="a;b.png"', b"x"), ONE),
    "a quote in a name": (part('form-data; name="a\\"b"', b"x"), [('a"b', False, b"x")]),
    "a file name in the extended syntax, which forms may not have": (
        part("form-data; name=\"image\"; filename*=UTF-8''a.png", b"x"), [("image", False, b"x")],
    ),
    "headers in any order and case": (
        b"--xyz\r\ncontent-type: image/png\r\nCONTENT-DISPOSITION: " + FILE.encode() + b"\r\n\r\nx\r\n", ONE,
    ),
    "a header of another name before it": (
        b"--xyz\r\nX-Content-Disposition: form-data; name=b\r\n" + part(FILE, b"x")[7:], ONE,
    ),
    "two of a name, in order": (part(FILE, b"1") + part(FILE, b"2"), [("image", True, b"1"), ("image", True, b"2")]),
    "a name in UTF-8": (part('form-data; name="größe"', b"x"), [("größe", False, b"x")]),
    "a name in Latin-1": (part("form-data; name=?", b"x").replace(b"?", b"\xf6"), [("ö", False, b"x")]),
    "padding after a boundary": (part(FILE, b"x").replace(b"--xyz", b"--xyz \t"), ONE),
    "text before the first boundary": (b"for old readers\r\n" + part(FILE, b"x"), ONE),
    "no line break of its own": (part(FILE, b"")[:-2], [("image", True, b"")]),
    "no parts": (b"", []),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("tail", [b"", b"an epilogue"])
def test_valid_forms_are_parsed(case: str, tail: bytes) -> None:
    body, expected = GOOD[case]
    found = [(part.name, part.is_file, part.content) for part in form_parts(body + END + tail, KIND)]
    assert found == expected


BAD = {
    "nothing": (b"", KIND, "closing boundary"),
    "no boundary": (part(FILE, b"x") + END, "multipart/form-data", "has no boundary"),
    "an empty boundary": (part(FILE, b"x") + END, 'multipart/form-data; boundary=""', "has no boundary"),
    "another boundary": (part(FILE, b"x") + END, "multipart/form-data; boundary=abc", "closing boundary"),
    "cut off in a file": (part(FILE, b"x" * 100)[:-30], KIND, "closing boundary"),
    "cut off before its end": (part(FILE, b"x"), KIND, "closing boundary"),
    "a part without a name": (part("form-data", b"x") + END, KIND, "has no name"),
    "a part without headers": (b"--xyz\r\n\r\nx\r\n" + END, KIND, "has no name"),
    "a part of nothing": (b"--xyz\r\n" + END, KIND, "headers do not end"),
    "headers that run on into the next part": (part(FILE, b"x").replace(b"\r\n\r\n", b"") + END, KIND, "do not end"),
    "a header without end": (part("form-data; name=" + "x" * 9000, b"") + END, KIND, "4,000 bytes"),
    "a long text": (part('form-data; name="label"', b"x" * 10_001) + END, KIND, "'label' has more than 10,000 bytes"),
    "many texts": (part('form-data; name="a"', b"") * 33 + END, KIND, "32 other fields"),
    "many files": (part(FILE, b"") * 1001 + END, KIND, "1000 files"),
    "headers that are long together": (part(FILE + ";" * 3900, b"") * 68 + END, KIND, "headers have more than 262,144"),
    "many lines like the boundary": (part(FILE, b"\r\n--xyz!" * 10_000) + END, KIND, "10,000 boundaries"),
    "a long Content-Type": (part(FILE, b"x") + END, KIND + ";" * 4000, "Content-Type has more than 4,000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_malformed_forms_are_rejected_with_a_reason(case: str) -> None:
    body, kind, says = BAD[case]
    with pytest.raises(MalformedRequest, match=says):
        form_parts(body, kind)


@pytest.mark.parametrize("options", [";" * 3900, '; x=";";";"' * 350, ';a="\\"\\"' * 480, "; a*0=b" * 550])
def test_no_form_takes_long(options: str) -> None:
    body = part(FILE + options[:3900], b"x") * 66 + END  # just within the bounds
    started = time.thread_time()
    assert len(form_parts(body, KIND)) == 66
    assert time.thread_time() - started < 1


@given(files=st.lists(st.binary(max_size=60) | st.sampled_from([b"\r\n--", b"\r", b"--xyz\r\n", BINARY]), max_size=4))
def test_forms_of_a_client_library_are_parsed(files: list[bytes]) -> None:
    sent = httpx.Request(
        "POST", "http://striate", data={"top_k": "5"}, files=[("image", ("a", file)) for file in files]
    )
    expected = [("top_k", False, b"5"), *(("image", True, file) for file in files)]
    if files:  # else httpx writes another kind of body
        found = form_parts(sent.read(), sent.headers["Content-Type"])
        assert [(part.name, part.is_file, part.content) for part in found] == expected
