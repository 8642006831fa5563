"""Fixture of tests of faults: a gate before every network."""

import pytest

from tests.service.gated_sessions import Gate


@pytest.fixture
def gate() -> Gate:
    return Gate()
