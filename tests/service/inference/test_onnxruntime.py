"""Tests of the translation of ONNX Runtime's errors."""

import errno
import os

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from service.inference.onnxruntime import ERRORS, InferenceFailed, translated


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ort.Fail("Node Conv failed"), InferenceFailed),
        (ort.InvalidArgument("Got: 9 Expected: 8"), InferenceFailed),
        (RuntimeError("cannot bind"), InferenceFailed),
        (ort.RuntimeException("std::bad_alloc"), MemoryError),
        (ort.Fail("Failed to allocate memory for requested buffer"), MemoryError),
        (ort.Fail(f"open file: {os.strerror(errno.EMFILE)}"), OSError),
    ],
)
def test_errors_become_those_of_the_service(error: Exception, expected: type[Exception]) -> None:
    assert isinstance(error, ERRORS)
    assert type(translated(error, action="run")) is expected


def test_errors_of_others_are_left_alone() -> None:
    assert not issubclass(LookupError, ERRORS)


def test_the_message_names_the_action_and_the_cause() -> None:
    message = str(translated(ort.Fail("Node Conv failed"), action="run"))
    assert message == "ONNX Runtime cannot run the network: Node Conv failed"
