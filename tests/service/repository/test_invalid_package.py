"""Tests of invalid packages: names and reasons that somebody else chose are printable and short."""

from pathlib import Path

from models.errors import PackageError
from service.repository.invalid_package import InvalidPackage

FOLDER = Path("digits/1.0")


def test_a_name_is_printable_and_a_reason_short() -> None:
    invalid = InvalidPackage.of(Path("a\udcfe\n") / ("1" * 400), PackageError("x" * 1000))
    assert (invalid.name, len(invalid.version), len(invalid.reason)) == (r"a\udcfe\n", 300, 300)
    assert InvalidPackage.of(FOLDER, MemoryError()).reason == "MemoryError"
