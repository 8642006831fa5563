"""Overhead benchmark: a trivial network behind the service, against a bare uvicorn application."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from math import prod

from benchmarks import images, report
from benchmarks.client import Target, multipart, raw
from benchmarks.contenders import BARE, CONTENDERS, SERVICE, started
from benchmarks.images import Upload
from benchmarks.load import Load, closed
from benchmarks.networks import network
from benchmarks.plan import Plan
from benchmarks.processes import Server
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, AtMost, Finding, Ratio, interleaved, with_control

SOAK_REQUESTS, SOAK_FIRST, SOAK_CALLERS = 30_000, 1_000, 8


def run(plan: Plan) -> Iterator[Section]:
    with ExitStack() as stack:
        trivial = network("trivial")
        servers = {SERVICE: stack.enter_context(started(CONTENDERS[SERVICE], trivial))}
        servers["bare uvicorn"] = stack.enter_context(started(BARE, trivial))
        yield _one_caller(servers, rounds=plan.rounds or 8, seconds=plan.seconds or 2.0)


def soak(plan: Plan) -> Iterator[Section]:
    """Checks that latency and memory are unchanged after a fixed, large number of requests."""
    rounds = plan.rounds or 3
    with started(CONTENDERS[SERVICE], network("trivial")) as server, server.awake():
        target = _body(images.speck(), "raw body")(server.port)
        closed(target, callers=SOAK_CALLERS, seconds=0, at_least=SOAK_FIRST)
        first = server.memory_bytes()
        whole = closed(target, callers=SOAK_CALLERS, seconds=0, at_least=SOAK_REQUESTS - SOAK_FIRST)
        last = server.memory_bytes()
        after = [closed(target, callers=SOAK_CALLERS, seconds=plan.seconds or 5.0) for _ in range(2 * rounds)]
    tail = [load.p99 / load.p50 for load in after]
    found = [
        Finding(
            f"p99 / p50 at {SOAK_CALLERS} callers after {SOAK_REQUESTS:,} requests",
            Ratio.across(tail),
            Ratio.of(tail[::2], tail[1::2]),
            AtMost(4),
            noise=0.5,
        ),
    ]
    memory = Table(
        ("resident memory", "after the first 1,000", f"after {SOAK_REQUESTS:,}", "ratio", "reach"),
        [("the service's processes", f"{first / 1e6:.1f} MB", f"{last / 1e6:.1f} MB", f"{last / first:.3f}", "1.05")],
    )
    about = f"The trivial network. {images.speck().about}. {_errors([whole, *after])}"
    yield Section("Level under load", about, [report.findings(found), memory])


def _one_caller(servers: dict[str, Server], *, rounds: int, seconds: float) -> Section:
    speck, xray = images.speck(), images.xray()
    bodies: dict[str, Callable[[int], Target]] = {
        "raw body": _body(speck, "raw body"),
        "OIP": partial(raw, path="/v2/models/trivial/infer", body=_tensor(), kind="application/json"),
        "multipart": _body(speck, "multipart"),
        "raw X-ray": _body(xray, "raw body"),
    }
    sides: dict[str, Callable[[], Load]] = {
        f"{name}, {kind}": partial(_measure, server, body(server.port), seconds)
        for name, server in servers.items()
        for kind, body in bodies.items()
    }
    reference = "bare uvicorn, raw body"
    loads = interleaved(with_control(sides, of=reference), rounds=rounds)
    p50 = {name: [load.p50 for load in each] for name, each in loads.items()}
    control = Ratio.of(p50[CONTROL], p50[reference])
    reach = {"raw body": AtMost(3), "OIP": AtMost(3), "multipart": AtMost(8)}
    found = [
        Finding(
            f"p50 of {SERVICE} / bare uvicorn, one caller, {kind}",
            Ratio.of(p50[f"{SERVICE}, {kind}"], p50[f"bare uvicorn, {kind}"]),
            control,
            reach.get(kind),
        )
        for kind in bodies
    ]
    each = [(name, *_figures(loads[name])) for name in loads]
    about = (
        f"A network of next to no arithmetic. {speck.about}; OIP: a tensor of as many pixels, in the Open Inference "
        f"Protocol's JSON. Raw X-ray: {xray.about}, which costs its decoding and resizing too. "
        f"{rounds} rounds of {seconds:g} s. {_errors([load for e in loads.values() for load in e])}"
    )
    table = Table(("side", "p50 ms", "p99 ms", "requests a second"), each)
    return Section("Overhead", about, [report.findings(found), table])


def _body(upload: Upload, kind: str) -> Callable[[int], Target]:
    if kind == "raw body":
        return partial(raw, path="/predict", body=upload.data, kind=upload.kind)
    return partial(multipart, path="/predict", image=upload.data, field="image", kind=upload.kind)


def _tensor() -> bytes:
    """Builds an inference request with the trivial network's input, an image of zeros."""
    shape = [1, *network("trivial").tensor(images.speck()).shape[1:]]
    tensor = {"name": "image", "shape": shape, "datatype": "FP32", "data": [0.0] * prod(shape)}
    return json.dumps({"inputs": [tensor]}).encode()


def _measure(server: Server, target: Target, seconds: float) -> Load:
    with server.awake():
        closed(target, callers=1, seconds=0, at_least=50)
        return closed(target, callers=1, seconds=seconds)


def _figures(loads: list[Load]) -> tuple[str, ...]:
    middle = len(loads) // 2
    values = [sorted(getattr(load, name) for load in loads)[middle] for name in ("p50", "p99", "per_second")]
    return f"{values[0]:.3f}", f"{values[1]:.3f}", f"{values[2]:.0f}"


def _errors(loads: list[Load]) -> str:
    return f"{sum(load.errors for load in loads)} of {sum(len(load.latencies_s) for load in loads):,} requests failed."
