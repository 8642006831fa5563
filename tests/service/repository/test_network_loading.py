"""Tests of transient errors: which failures of loading are worth a retry."""

import errno

import pytest

from models.errors import PackageError
from service.repository.network_loading import is_transient


def caused_by(cause: Exception) -> PackageError:
    error = PackageError("model.onnx cannot be read")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (caused_by(OSError(errno.EIO, "Input/output error")), True),
        (caused_by(FileNotFoundError()), False),  # the package itself is incomplete
        (caused_by(PermissionError()), False),
        (caused_by(ValueError()), False),
        (PackageError("model.onnx has been changed"), False),
    ],
)
def test_errors_of_the_machine_are_transient(error: Exception, expected: bool) -> None:
    assert is_transient(error) is expected
