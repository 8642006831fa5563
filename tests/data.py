"""Where real images are, for the tests that need them."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("STRIATE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def real_data(name: str) -> Path:
    """A file or folder of the real data; skips the test where it is absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no real data at {name}: set STRIATE_TEST_DATA to its folder")
    return path
