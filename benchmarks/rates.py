"""Inference rates: ONNX Runtime and PyTorch called in a loop, without a server."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from models.image import Array

CORES = os.cpu_count() or 1


def batches(x: Array) -> tuple[int, ...]:
    """Returns the batch sizes for x (1, C, H, W); a batch of eight large images would take seconds."""
    return (1, 8) if x.shape[2] <= 224 else (1,)


def rate(run: Callable[[], object], *, images: int, callers: int, seconds: float) -> float:
    """Returns the images per second of several threads that call `run` in a loop; each call processes `images`."""
    counts = [0] * callers

    def loop(caller: int) -> None:
        while time.perf_counter() < until:
            run()
            counts[caller] += 1

    run()  # the first after a pause is slower
    started = time.perf_counter()
    until = started + seconds
    threads = [threading.Thread(target=loop, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) * images / (time.perf_counter() - started)


def session_run(weights: Path, x: Array, *, seconds: float) -> dict[str, Callable[[], float]]:
    """Returns functions that measure session.run for x (1, C, H, W) on all cores, in images per second.

    Either one run at a time uses all cores, or one run per core uses one thread each.
    """
    ways: dict[str, Callable[[], float]] = {}
    for callers in sorted({1, CORES}):
        session = open_session(str(weights), threads=CORES // callers)
        for batch in batches(x):
            feed = {"image": np.repeat(x, batch, axis=0)}
            run = partial(session.run, ["probabilities"], feed)
            name = f"session.run, {callers} at a time of {CORES // callers} threads, batch {batch}"
            ways[name] = partial(rate, run, images=batch, callers=callers, seconds=seconds)
    return ways


def torch_eager(network: nn.Module, x: Array, *, seconds: float) -> dict[str, Callable[[], float]]:
    """Returns functions that measure PyTorch in inference mode for x (1, C, H, W), for each batch size."""
    torch.set_num_threads(CORES)

    def run(images: torch.Tensor) -> None:
        with torch.inference_mode():
            network(images)

    return {
        f"torch eager, batch {batch}": partial(
            rate, partial(run, torch.from_numpy(np.repeat(x, batch, axis=0))), images=batch, callers=1, seconds=seconds
        )
        for batch in batches(x)
    }


def open_session(weights: str | bytes, *, threads: int) -> onnxruntime.InferenceSession:
    """Opens a session with ONNX Runtime's defaults, including spinning, except for the threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
