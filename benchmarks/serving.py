"""Serving benchmark: throughput and latency at 1, 8 and 32 callers, then at a share of the capacity."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks import images, report
from benchmarks.contenders import CONTENDERS, SERVICE, check_alike, started
from benchmarks.images import Upload
from benchmarks.load import Load, closed, open_loop
from benchmarks.networks import network
from benchmarks.plan import Plan
from benchmarks.processes import Server
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, AtLeast, AtMost, Finding, Ratio, interleaved, with_control

CALLERS = (1, 8, 32)
SHARES = (0.5, 0.7, 0.9)  # of the capacity
NETWORKS = ("resnet18", "resnet50")
TAIL_NOISE = 0.25  # a 99th percentile of some hundred answers is not steadier than that

Loads = dict[str, list[Load]]


def run(plan: Plan) -> Iterator[Section]:
    rounds, seconds = plan.rounds or 4, plan.seconds or 3.0
    for name in plan.networks or NETWORKS:
        with ExitStack() as stack:
            chosen = network(name)
            servers = {side: stack.enter_context(started(made, chosen)) for side, made in CONTENDERS.items()}
            check_alike(servers, images.xray())
            loads = _closed_loops(servers, rounds=rounds, seconds=seconds)
            yield _throughput(name, loads)
            capacity = max(median(load.per_second for load in loads[c][SERVICE]) for c in CALLERS)
            yield _open_loops(name, servers[SERVICE], capacity, rounds=rounds, seconds=2 * seconds)


def _closed_loops(servers: dict[str, Server], *, rounds: int, seconds: float) -> dict[int, Loads]:
    """Measures the loads on each side by the number of callers."""
    upload = images.xray()
    return {
        callers: interleaved(
            with_control(
                {
                    name: partial(_measure, name, server, upload, callers=callers, seconds=seconds)
                    for name, server in servers.items()
                },
                of=SERVICE,
            ),
            rounds=rounds,
        )
        for callers in CALLERS
    }


def _measure(name: str, server: Server, upload: Upload, *, callers: int, seconds: float) -> Load:
    target = CONTENDERS[name].target(server, upload)
    with server.awake():
        closed(target, callers=callers, seconds=0, at_least=callers)
        return closed(target, callers=callers, seconds=seconds)


def _throughput(name: str, loads: dict[int, Loads]) -> Section:
    ahead = [finding for callers in CALLERS for finding in _against_others(callers, loads[callers])]
    each = [(f"{callers}", side, *_figures(loads[callers][side])) for callers in CALLERS for side in loads[callers]]
    table = Table(("callers", "side", "answers a second", "p50 ms", "p99 ms", "failed"), each)
    some = loads[CALLERS[0]][SERVICE]
    about = (
        f"{images.xray().about}. Closed loop: so many callers, each of which asks again when it is answered. "
        f"{len(some)} rounds of {some[0].seconds:.0f} s a side."
    )
    return Section(f"{name}: throughput and latency", about, [report.findings(ahead), _more_callers(loads), table])


def _against_others(callers: int, loads: Loads) -> Iterator[Finding]:
    quantities: list[tuple[str, Callable[[Load], float], AtLeast | AtMost, float]] = [
        ("throughput", lambda load: load.per_second, AtLeast(1), 0.10),
        ("p99", lambda load: load.p99, AtMost(1), TAIL_NOISE),
    ]
    for quantity, of, reach, noise in quantities:
        ours = [of(load) for load in loads[SERVICE]]
        control = Ratio.of([of(load) for load in loads[CONTROL]], ours)
        for other in loads:
            if other not in (SERVICE, CONTROL):
                ratio = Ratio.of(ours, [of(load) for load in loads[other]])
                yield Finding(f"{quantity} / {other}'s, {callers} callers", ratio, control, reach, noise)


def _more_callers(loads: dict[int, Loads]) -> Table:
    """Compares the throughput of the most callers with that of one caller."""
    most, one = loads[CALLERS[-1]], loads[CALLERS[0]]
    many, single = ([load.per_second for load in side[SERVICE]] for side in (most, one))
    again = [load.per_second for load in most[CONTROL]]
    what = f"throughput with {CALLERS[-1]} callers / 1 caller"
    return report.findings([Finding(what, Ratio.of(many, single), Ratio.of(again, many), AtLeast(1.15))])


def _figures(loads: list[Load]) -> tuple[str, ...]:
    rate, p50, p99 = (median(getattr(load, name) for load in loads) for name in ("per_second", "p50", "p99"))
    return f"{rate:.1f}", f"{p50:.1f}", f"{p99:.1f}", f"{sum(load.errors for load in loads)}"


def _open_loops(name: str, server: Server, capacity: float, *, rounds: int, seconds: float) -> Section:
    """Measures the service at shares of its measured capacity, each share twice per round."""
    target = CONTENDERS[SERVICE].target(server, images.xray())
    seeds = iter(range(10_000))

    def measure(share: float) -> Load:
        with server.awake():
            closed(target, callers=1, seconds=0, at_least=10)
            return open_loop(target, rate=share * capacity, seconds=seconds, seed=next(seeds))

    sides = {f"{share:.0%}{again}": partial(measure, share) for again in ("", " again") for share in SHARES}
    loads = interleaved(sides, rounds=rounds)
    found = []
    for share in SHARES:
        tail, again = ([load.p99 / load.p50 for load in loads[f"{share:.0%}{run}"]] for run in ("", " again"))
        reach = AtMost(2.0) if share == 0.7 else None
        what = f"p99 / p50 at {share:.0%} of {capacity:.0f} a second"
        found.append(Finding(what, Ratio.across(tail), Ratio.of(again, tail), reach, TAIL_NOISE))
    each = [(side, *_figures(loads[side])) for side in sides]
    table = Table(("share of capacity", "answers a second", "p50 ms", "p99 ms", "failed"), each)
    about = (
        "Open loop: requests come at Poisson-distributed moments whether or not earlier ones are answered, and latency "
        f"counts from the moment at which each was meant to be sent. {rounds} rounds of {seconds:g} s."
    )
    return Section(f"{name}: latency at a given rate", about, [report.findings(found), table])
