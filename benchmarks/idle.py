"""Idle queue benchmark: the overhead of the batcher for a single caller."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import uvloop

from benchmarks import images, report
from benchmarks.networks import network
from benchmarks.plan import Plan
from benchmarks.rates import CORES
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, AtMost, Finding, Ratio, interleaved, with_control
from models.image import Array
from service.inference import Session, open_session
from service.scheduling.batcher import Batcher
from service.scheduling.work import Deadline, Work

NETWORKS = ("resnet18",)
OUTPUTS = ("probabilities",)
NOISE = 0.05


def run(plan: Plan) -> Iterator[Section]:
    for name in plan.networks or NETWORKS:
        chosen = network(name)
        session = open_session(chosen.weights, device="cpu", threads=CORES)
        x, seconds, rounds = chosen.tensor(images.xray()), plan.seconds or 1.5, plan.rounds or 10
        sides: dict[str, Callable[[], float]] = {
            "the session itself": partial(_direct, session, x, seconds),
            "through the batcher": partial(_batched, session, x, seconds),
        }
        p50 = interleaved(with_control(sides, of="the session itself"), rounds=rounds)
        direct, batched, again = (p50[side] for side in (*sides, CONTROL))
        what = "p50 through the batcher / of the session itself, one caller"
        found = [Finding(what, Ratio.of(batched, direct), Ratio.of(again, direct), AtMost(1.05), NOISE)]
        rows = [(side, f"{median(each) * 1e3:.2f}") for side, each in p50.items()]
        about = f"In one process, without HTTP. {rounds} rounds of {seconds:g} s."
        yield Section(f"{name}: when idle", about, [report.findings(found), Table(("side", "p50 ms"), rows)])


def _direct(session: Session, x: Array, seconds: float) -> float:
    """Returns the median duration of a run in seconds."""
    session.run(x, OUTPUTS)
    taken, until = [], time.perf_counter() + seconds
    while (started := time.perf_counter()) < until:
        session.run(x, OUTPUTS)
        taken.append(time.perf_counter() - started)
    return median(taken)


def _batched(session: Session, x: Array, seconds: float) -> float:
    async def ask() -> float:
        batcher = Batcher(session, length=64)
        taken, until = [], time.perf_counter() + seconds
        while (started := time.perf_counter()) < until:
            await batcher.submit(x, OUTPUTS, Work(Deadline.after(30)))
            taken.append(time.perf_counter() - started)
        batcher.close()
        return median(taken[1:])

    return uvloop.run(ask())
