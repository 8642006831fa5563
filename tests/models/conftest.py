"""Fixture of tests of packages: the parts of a package of each kind."""

from typing import Any

import pytest

from tests.models.tiny_packages import KINDS, contents


@pytest.fixture(scope="module", params=KINDS)
def parts(request: pytest.FixtureRequest) -> dict[str, Any]:
    return contents(request.param)
