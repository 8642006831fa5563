"""Tests of a request's path: the files and the frames that one PNG to /predict goes through."""

import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pytest

from service.encode.png_writer import png
from tests.conftest import Client
from tests.service.image_files import form

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[1]
IMAGE = png(np.random.default_rng(0).integers(0, 256, (224, 224), np.uint8))  # too large for the event loop


class CallRecorder:
    """A profiler: each of our functions that was called, with the stack of its first call, outermost first."""

    def __init__(self) -> None:
        self.stacks: dict[str, list[str]] = {}
        self._seen: set[CodeType] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code not in self._seen:
            self._seen.add(frame.f_code)
            if name := _our_name(frame):
                self.stacks[name] = _stack(frame)

    def clear(self) -> None:
        self.stacks.clear()
        self._seen.clear()

    def frames(self, first: str, last: str) -> list[str]:
        """Returns the named functions on the stack of `last`, from `first` on."""
        stack = [name for name in self.stacks[last] if "<" not in name]
        return stack[stack.index(first) :]


def _stack(frame: FrameType | None) -> list[str]:
    names: list[str] = []
    while frame:
        names.append(_our_name(frame))
        frame = frame.f_back
    return [name for name in reversed(names) if name]


def _our_name(frame: FrameType) -> str:
    """Returns "file: function"; "" for what is not in service/ or models/."""
    path = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
    return f"{path}: {frame.f_code.co_name}" if path.startswith(("service/", "models/")) else ""


async def test_one_png_goes_through_few_files_and_frames(serving: Client) -> None:
    recorder = CallRecorder()
    former: Any = sys.getprofile()
    threading.setprofile(recorder)  # of the worker threads, which start with the first image
    sys.setprofile(recorder)
    try:
        async with serving() as http:
            called: set[str] = set()
            for _ in range(4):  # what happens only once, or now and then in the background, is left out
                recorder.clear()
                answer = await http.post("/predict", files=form(IMAGE))
                called = called & set(recorder.stacks) or set(recorder.stacks)
    finally:
        threading.setprofile(former)
        sys.setprofile(former)
    assert answer.status_code == 200
    files = sorted({name.partition(":")[0] for name in called})
    in_loop = recorder.frames("service/http/exchange.py: answer", "service/scheduling/scheduler.py: _in_worker")
    in_worker = recorder.frames("service/scheduling/scheduler.py: both", "models/decode/png.py: open")
    assert len(files) <= 21, files
    assert len([*in_loop, *in_worker]) <= 8, [*in_loop, *in_worker]
