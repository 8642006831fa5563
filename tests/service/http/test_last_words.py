"""Tests of errors that end their connections, as bytes."""

import httpx

from service.http.errors import MalformedRequest, TooManyConnections
from service.http.last_words import last_words


def test_an_error_is_a_whole_response_in_the_services_format() -> None:
    head, _, body = last_words(TooManyConnections(64)).partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    named = httpx.Headers([(name, value) for name, _, value in (line.partition(b": ") for line in headers)])
    assert first == b"HTTP/1.1 503 Service Unavailable"
    assert body == b'{"error":"All 64 connections are in use. Retry in 1 s.","code":"too_many_connections"}'
    assert int(named["content-length"]) == len(body)
    assert (named["connection"], named["retry-after"], named["x-content-type-options"]) == ("close", "1", "nosniff")
    assert last_words(MalformedRequest("No.")).startswith(b"HTTP/1.1 400 Bad Request\r\n")
