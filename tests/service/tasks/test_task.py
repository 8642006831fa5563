"""Tests of what tasks share."""

import pytest

from service.tasks import TASKS
from service.tasks.task import media_types_of


def test_media_types_are_listed_once_in_the_formats_order() -> None:
    formats = {"a": ("image/png", print), "b": ("application/x-npy", print), "c": ("image/png", print)}
    assert media_types_of(formats) == ("image/png", "application/x-npy")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_found_by_its_own_name(name: str) -> None:
    assert TASKS[name].name == name
    assert TASKS[name].options()  # every option has a default
