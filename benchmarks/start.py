"""Startup benchmark: latency of the first requests after a start, compared with later ones."""

from collections.abc import Iterator

from benchmarks import images, report
from benchmarks.contenders import CONTENDERS, SERVICE, started
from benchmarks.load import Load, closed
from benchmarks.networks import Network, network
from benchmarks.plan import Plan
from benchmarks.report import Section
from benchmarks.rounds import AtMost, Finding, Ratio

REQUESTS = 200
NETWORKS = ("resnet18",)
NOISE = 0.5  # a slowest of 200 is one answer


def run(plan: Plan) -> Iterator[Section]:
    """Measures three times REQUESTS after each start."""
    for name in plan.networks or NETWORKS:
        chosen, rounds = network(name), plan.rounds or 5
        starts = [_after_a_start(chosen) for _ in range(rounds)]
        first, second, third = ([load.ms(100) / load.p50 for load in loads] for loads in zip(*starts))
        control = Ratio.of(third, second)
        found = [
            Finding(f"slowest / p50 of the first {REQUESTS}", Ratio.across(first), control, AtMost(3), NOISE),
            Finding(f"slowest / p50 of the second {REQUESTS}", Ratio.across(second), control, None, NOISE),
        ]
        about = f"{images.xray().about}; one caller from the moment of readiness; {rounds} starts."
        yield Section(f"{name}: after a start", about, [report.findings(found)])


def _after_a_start(chosen: Network) -> list[Load]:
    """Measures one caller from the moment the service is ready: three times REQUESTS."""
    contender = CONTENDERS[SERVICE]
    with started(contender, chosen) as server, server.awake():
        target = contender.target(server, images.xray())
        return [closed(target, callers=1, seconds=0, at_least=REQUESTS) for _ in range(3)]
