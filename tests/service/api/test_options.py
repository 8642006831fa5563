"""Tests of the types that options share."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from service.api.options import OneOf

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
