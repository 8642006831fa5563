"""Map benchmark: the cost of a class activation map in addition to its prediction."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from benchmarks import report
from benchmarks.ceiling import upload_for
from benchmarks.client import multipart
from benchmarks.contenders import CONTENDERS, SERVICE, started
from benchmarks.load import Load, closed
from benchmarks.networks import network
from benchmarks.plan import Plan
from benchmarks.processes import Server
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, AtMost, Finding, Ratio, interleaved, with_control

NETWORKS = ("resnet18", "pneumonia")
PATHS = ("/predict", "/cam?format=raw", "/cam?format=overlay")
NOISE = 0.03  # what is to be told is 3 %


def run(plan: Plan) -> Iterator[Section]:
    for name in plan.networks or NETWORKS:
        chosen = network(name)
        upload = upload_for(name, chosen)
        rounds, seconds = plan.rounds or 8, plan.seconds or 2.0
        with started(CONTENDERS[SERVICE], chosen) as server:
            sides: dict[str, Callable[[], Load]] = {
                path: partial(_measure, server, path, upload.data, upload.kind, seconds) for path in PATHS
            }
            loads = interleaved(with_control(sides, of="/predict"), rounds=rounds)
        p50 = {path: [load.p50 for load in each] for path, each in loads.items()}
        control = Ratio.of(p50[CONTROL], p50["/predict"])
        found = [
            Finding(f"p50 of {path} / /predict", Ratio.of(p50[path], p50["/predict"]), control, reach, NOISE)
            for path, reach in zip(PATHS[1:], (AtMost(1.03), None))
        ]
        table = Table(("path", "p50 ms"), [(path, f"{median(each):.2f}") for path, each in p50.items()])
        about = f"{upload.about}; one caller. {rounds} rounds of {seconds:g} s."
        yield Section(f"{name}: a map beside a prediction", about, [report.findings(found), table])


def _measure(server: Server, path: str, image: bytes, kind: str, seconds: float) -> Load:
    target = multipart(server.port, path, image, field="image", kind=kind)
    with server.awake():
        closed(target, callers=1, seconds=0, at_least=10)
        return closed(target, callers=1, seconds=seconds)
