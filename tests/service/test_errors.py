"""Tests of the errors that a caller can act on: what they list, quote and ask to wait."""

from collections.abc import Iterable

import pytest

from models.errors import StriateError
from service.errors import (
    InvalidOption,
    MemoryFull,
    NotReady,
    QueueFull,
    RetryLater,
    UnknownLabel,
    UnknownLayer,
    listed,
    listed_in_part,
)
from service.http.errors import UnknownField


@pytest.mark.parametrize(("names", "text"), [(("a", "b"), "'a', 'b'"), (iter(["a"]), "'a'"), ((), "none")])
def test_names_are_listed_in_quotes(names: Iterable[str], text: str) -> None:
    assert listed(names) == text


LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a", "b"], "'a', 'b'"),
        ([LONG], f"'{LONG[:100]}'"),
        (["a"] * 10, ", ".join(["'a'"] * 10)),
        (["a"] * 12, ", ".join(["'a'"] * 10) + " and 2 more"),
    ],
)
def test_a_callers_names_are_listed_in_part(names: list[str], text: str) -> None:
    assert listed_in_part(names) == text


@pytest.mark.parametrize(
    "error",
    [
        InvalidOption("top_k", LONG, "it must be a number."),
        UnknownField([LONG], allowed=("image",)),
        UnknownLabel(LONG, model="digits", labels=("0", "1")),
        UnknownLayer(LONG, model="digits", layers=("conv1",)),
    ],
)
def test_a_value_is_quoted_up_to_100_characters(error: StriateError) -> None:
    assert f"'{LONG[:100]}'" in str(error)
    assert str(error).endswith(".")
    assert not str(error).endswith("..")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (MemoryFull(), "2"),
        (NotReady("The models are still being loaded."), "5"),
        (QueueFull(64, retry_after_s=0), "1"),
        (QueueFull(64, retry_after_s=7), "7"),
        (QueueFull(64, retry_after_s=900), "30"),
    ],
)
def test_what_may_succeed_later_says_when(error: RetryLater, seconds: str) -> None:
    assert error.headers() == {"Retry-After": seconds}
    if not isinstance(error, NotReady):
        assert f"Retry in {seconds} s." in str(error)
