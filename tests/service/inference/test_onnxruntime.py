"""Tests of the translation of ONNX Runtime's errors."""

import errno
import os

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from service.inference.onnxruntime import InferenceFailed, translated_errors


def fail(error: Exception) -> None:
    with translated_errors("run"):
        raise error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ort.Fail("Node Conv failed"), InferenceFailed),
        (ort.InvalidArgument("Got: 9 Expected: 8"), InferenceFailed),
        (RuntimeError("cannot bind"), InferenceFailed),
        (ort.RuntimeException("std::bad_alloc"), MemoryError),
        (ort.Fail("Failed to allocate memory for requested buffer"), MemoryError),
        (ort.Fail(f"open file: {os.strerror(errno.EMFILE)}"), OSError),
        (LookupError("not from ONNX Runtime"), LookupError),
    ],
)
def test_errors_become_those_of_the_service(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as raised:
        fail(error)
    assert type(raised.value) is expected


def test_the_message_names_the_action_and_the_cause() -> None:
    with pytest.raises(InferenceFailed, match="cannot run the network: Node Conv failed"):
        fail(ort.Fail("Node Conv failed"))
