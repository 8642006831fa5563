"""Tests of the types that options share."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from service.api.options import OneOf, Whole

NUMBERS = {"one": 1, "two": 2}
CHOSEN: TypeAdapter[Any] = TypeAdapter(Annotated[str, OneOf(NUMBERS)])
LITERAL: TypeAdapter[Any] = TypeAdapter(Literal["one", "two"])


def sentence(adapter: TypeAdapter[Any], value: str) -> str:
    with pytest.raises(ValidationError) as refused:
        adapter.validate_python(value)
    return refused.value.errors()[0]["msg"]


def test_one_of_a_registry_is_what_a_literal_of_its_names_is() -> None:
    assert CHOSEN.json_schema() == LITERAL.json_schema() == {"enum": ["one", "two"], "type": "string"}
    assert CHOSEN.validate_python("two") == "two"
    assert sentence(CHOSEN, "three") == sentence(LITERAL, "three") == "Input should be 'one' or 'two'"


WHOLE: TypeAdapter[int] = TypeAdapter(Whole)


@pytest.mark.parametrize(("sent", "expected"), [("10", 10), ("007", 7), ("-3", -3), (10, 10)])
def test_a_whole_number_is_read_from_its_digits(sent: str | int, expected: int) -> None:
    assert WHOLE.validate_python(sent) == expected
    assert WHOLE.json_schema() == {"type": "integer"}


@pytest.mark.parametrize("sent", ["1_0", "+5", "5.0", " 5", "5\n", "\u0665", "five", ""])
def test_other_text_is_no_whole_number(sent: str) -> None:
    assert sentence(WHOLE, sent) == "Input should be a whole number"
