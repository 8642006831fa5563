"""Tests of a decoder's messages: what is told is what was meant, and only what can be is believed."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from models import errors
from models.decode import Cost, open_source, probe
from models.errors import DamagedImage, ImageError, TooManyPixels
from service.sandbox.decode_messages import ErrorMessage, ProbeMessage, SourceMessage
from tests.models.decode.files import FILES


@pytest.mark.parametrize("name", FILES)
def test_a_probe_and_a_source_come_back_whole(name: str) -> None:
    probed = probe(FILES[name])._replace(header=None, cost=Cost(12, "3 scans"))
    told = orjson.loads(orjson.dumps(ProbeMessage.of(probed).model_dump()))
    assert ProbeMessage.model_validate(told).probe == probed
    source = open_source(FILES[name], max_pixels=10_000)
    message = SourceMessage.of(source)
    assert SourceMessage.model_validate(orjson.loads(orjson.dumps(message.model_dump()))) == message


def test_an_error_keeps_its_kind_and_sentence() -> None:
    for error in (DamagedImage("png", "cut short"), TooManyPixels(width=3, height=4, limit=5)):
        message = ErrorMessage.model_validate(orjson.loads(orjson.dumps(ErrorMessage.of(error).model_dump())))
        assert type(message.exception) is type(error)
        assert str(message.exception) == str(error)


def test_every_image_error_can_be_told() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ImageError)]
    for kind in kinds:
        error = kind.__new__(kind)
        Exception.__init__(error, "sentence")
        assert type(ErrorMessage.of(error).exception) is kind


SOURCE: dict[str, Any] = {
    "axes": "YX", "dtype": "uint8", "levels": [[[9, 11], [1, 1]]], "spacing": {}, "orientation": {}, "format": "png",
    "damage": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "lie",
    [
        {"axes": "YXQ"},
        {"axes": ""},
        {"dtype": "object"},
        {"dtype": ">u2"},
        {"levels": []},
        {"levels": [[[0, 11], [1, 1]]]},
        {"levels": [[[-9, 11], [1, 1]]]},
        {"levels": [[[2**41, 11], [1, 1]]]},
        {"spacing": {"X": [1, "mile"]}},
        {"format": "x" * 100},
        {"damage": "x" * 10_000},
        {"more": 1},
    ],
    ids=str,
)
def test_a_source_that_cannot_be_is_not_believed(lie: dict[str, Any]) -> None:
    SourceMessage.model_validate(SOURCE)
    with pytest.raises(ValidationError):
        SourceMessage.model_validate(SOURCE | lie)


@pytest.mark.parametrize("error", ["SystemExit", "StriateError", "PackageError", ""])
def test_no_other_exception_can_be_told(error: str) -> None:
    with pytest.raises(ValidationError):
        ErrorMessage.model_validate({"error": error, "sentence": "no"})
