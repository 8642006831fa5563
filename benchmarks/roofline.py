"""Roofline benchmark: the CPU's peak rate, and the share of it that ONNX Runtime reaches for each network."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from statistics import median

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from benchmarks import report
from benchmarks.ceiling import upload_for
from benchmarks.networks import network
from benchmarks.plan import Plan
from benchmarks.rates import CORES, open_session, session_run
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, Finding, Ratio, interleaved, with_control

NETWORKS = ("resnet18", "resnet50", "unet-512", "digits", "pneumonia", "nuclei")
SIDE = 2048  # of the matrices that are multiplied
STREAM_BYTES = 2**28  # read and written, many times what a cache holds
SGEMM, STREAM = "sgemm", "copy"


@dataclass(frozen=True, slots=True)
class Work:
    """The work for one image: multiply-adds of its convolutions and matrix products, and the bytes that they transfer.

    Every operation reads and writes through memory; weights are read once per image.
    """

    multiply_adds: int
    bytes: int


def run(plan: Plan) -> Iterator[Section]:
    seconds, rounds = plan.seconds or 1.0, plan.rounds or 4
    sides: dict[str, Callable[[], float]] = {SGEMM: partial(sgemm, seconds), STREAM: partial(stream, seconds)}
    work = {}
    for name in plan.networks or NETWORKS:
        chosen = network(name)
        x = chosen.tensor(upload_for(name, chosen))
        work[name] = count(onnx.load(chosen.weights), x.shape)
        sides |= {f"{name}: {way}": run for way, run in session_run(chosen.weights, x, seconds=seconds).items()}
    rates = interleaved(with_control(sides, of=SGEMM), rounds=rounds)
    control = Ratio.of(rates[CONTROL], rates[SGEMM])
    best = {name: max((rates[way] for way in rates if way.startswith(f"{name}:")), key=median) for name in work}
    found = [
        Finding(f"{name}: session.run / fp32 peak", _share(best[name], work[name], rates[SGEMM]), control)
        for name in work
    ]
    peak, bandwidth = median(rates[SGEMM]), median(rates[STREAM])
    about = (
        f"Peak: a {SIDE} x {SIDE} float32 matrix product on {CORES} cores, {peak / 1e9:.0f} GFLOP/s (a multiply-add is "
        f"two). Memory: a copy that no cache holds, {bandwidth / 1e9:.1f} GB/s. Traffic: what convolutions move if "
        f"nothing stays in a cache. {rounds} rounds of {seconds:g} s."
    )
    header = ("network", "multiply-adds an image", "traffic MB", "images a second by peak", "by memory", "session.run")
    rows = [_row(name, work[name], median(best[name]), peak=peak, bandwidth=bandwidth) for name in work]
    yield Section("Roofline", about, [report.findings(found), Table(header, rows)])


def count(model: onnx.ModelProto, shape: tuple[int, ...]) -> Work:
    """Counts the work for one input of this shape. Raises KeyError if the graph lacks a tensor's shape."""
    shapes = _shapes(model, shape)
    multiply_adds = moved = 0
    for node in model.graph.node:
        if node.op_type in _MULTIPLY_ADDS:
            weights, out = shapes[node.input[1]], shapes[node.output[0]]
            multiply_adds += _MULTIPLY_ADDS[node.op_type](shapes[node.input[0]], weights, out)
            moved += 4 * (prod(shapes[node.input[0]]) + prod(weights) + prod(out))
    return Work(multiply_adds, moved)


Shape = tuple[int, ...]
_MULTIPLY_ADDS: dict[str, Callable[[Shape, Shape, Shape], int]] = {
    "Conv": lambda x, weights, out: prod(out) * prod(weights[1:]),
    "ConvTranspose": lambda x, weights, out: prod(x) * prod(weights[1:]),
    "Gemm": lambda x, weights, out: prod(out) * x[-1],
    "MatMul": lambda x, weights, out: prod(out) * x[-1],
}


def _shapes(model: onnx.ModelProto, shape: Shape) -> dict[str, Shape]:
    """Returns every tensor's shape by name, for this input."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]  # it speaks of any batch
    for tensor in (*fixed.graph.input, *fixed.graph.output):
        tensor.type.tensor_type.ClearField("shape")
    for size in shape:
        fixed.graph.input[0].type.tensor_type.shape.dim.add(dim_value=size)
    inferred = onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True).graph
    known = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for tensor in (*inferred.value_info, *inferred.input, *inferred.output):
        known[tensor.name] = tuple(dim.dim_value for dim in tensor.type.tensor_type.shape.dim)
    return known


def sgemm(seconds: float) -> float:
    """Measures the floating-point operations per second of a large float32 matrix product on all cores.

    ONNX Runtime's: on this kind of machine twice as fast as PyTorch's, which would make a poor peak.
    """
    values = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["image", "weights"], ["probabilities"])],
        "product",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, [SIDE, SIDE])],
        [numpy_helper.from_array(values, "weights")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    session = open_session(model.SerializeToString(), threads=CORES)
    return _repeated(partial(session.run, None, {"image": values}), seconds) * 2 * SIDE**3


def stream(seconds: float) -> float:
    """Bytes a second that are read and written by a large copy on every core."""
    torch.set_num_threads(CORES)
    source = torch.ones(STREAM_BYTES // 4)
    return _repeated(partial(torch.empty_like(source).copy_, source), seconds) * 2 * STREAM_BYTES


def _repeated(run: Callable[[], object], seconds: float) -> float:
    """Runs a second."""
    run()
    runs, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        run()
        runs += 1
    return runs / passed


def _share(images: list[float], work: Work, peak: list[float]) -> Ratio:
    return Ratio.of([2 * work.multiply_adds * rate for rate in images], peak)


def _row(name: str, work: Work, rate: float, *, peak: float, bandwidth: float) -> tuple[str, ...]:
    by_peak, by_memory = peak / (2 * work.multiply_adds), bandwidth / work.bytes
    numbers = (f"{work.bytes / 1e6:.1f}", f"{by_peak:.1f}", f"{by_memory:.1f}", f"{rate:.1f}")
    return (name, f"{work.multiply_adds / 1e9:.4g} G", *numbers)
