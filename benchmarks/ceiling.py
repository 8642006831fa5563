"""Ceiling benchmark: the service's throughput as a share of that of ONNX Runtime alone."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from benchmarks import images, report
from benchmarks.client import Target, multipart
from benchmarks.contenders import CONTENDERS, SERVICE, started
from benchmarks.images import Upload
from benchmarks.load import closed
from benchmarks.networks import RECIPES, Network, network, torch_network
from benchmarks.plan import Plan
from benchmarks.processes import Server
from benchmarks.rates import session_run, torch_eager
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, AtLeast, Finding, Ratio, interleaved, with_control

CALLERS = 8
NETWORKS = ("resnet50", "resnet18", "unet-512", "digits", "pneumonia", "nuclei")
REACH = {"resnet50": AtLeast(0.92)}
NOISE = 0.05


def run(plan: Plan) -> Iterator[Section]:
    for name in plan.networks or NETWORKS:
        chosen = network(name)
        rounds = plan.rounds or (9 if name in REACH else 3)
        with started(CONTENDERS[SERVICE], chosen) as server:
            yield _section(name, chosen, server, rounds=rounds, seconds=plan.seconds or 2.0)


def upload_for(name: str, chosen: Network) -> Upload:
    """Returns a starter's own sample; an X-ray for other networks."""
    if name in RECIPES:
        return images.large_xray() if chosen.spec.task == "segmentation" else images.xray()
    return Upload((chosen.package.folder / "sample.png").read_bytes(), "image/png", "The package's sample.png")


def target(chosen: Network, server: Server, upload: Upload) -> Target:
    path = "/predict" if chosen.spec.task == "classification" else "/segment?format=labels"
    return multipart(server.port, path, upload.data, field="image", kind=upload.kind)


def _section(name: str, chosen: Network, server: Server, *, rounds: int, seconds: float) -> Section:
    upload = upload_for(name, chosen)
    x = chosen.tensor(upload)
    sides: dict[str, Callable[[], float]] = {SERVICE: partial(_served, server, target(chosen, server, upload), seconds)}
    sides |= session_run(chosen.weights, x, seconds=seconds)
    if name in RECIPES:
        sides |= torch_eager(torch_network(name), x, seconds=seconds)
    rates = interleaved(with_control(sides, of=SERVICE), rounds=rounds)
    control = Ratio.of(rates[CONTROL], rates[SERVICE])
    best = _best(rates, "session.run")
    found = [Finding(f"{SERVICE} / best session.run", Ratio.of(rates[SERVICE], best), control, REACH.get(name), NOISE)]
    if name in RECIPES:
        eager = _best(rates, "torch eager")
        found.append(Finding("best torch eager / best session.run", Ratio.of(eager, best), control, None, NOISE))
    table = Table(("side", "images a second"), [(side, f"{median(each):.1f}") for side, each in rates.items()])
    about = (
        f"{upload.about}; {x.shape[2]} x {x.shape[3]} px in the network. The service is asked by {CALLERS} callers, an "
        f"image a request. The best is the side with the highest median. {rounds} rounds of {seconds:g} s."
    )
    return Section(f"{name}: against session.run", about, [report.findings(found), table])


def _served(server: Server, asked: Target, seconds: float) -> float:
    with server.awake():
        closed(asked, callers=CALLERS, seconds=0, at_least=2)
        return closed(asked, callers=CALLERS, seconds=seconds).per_second


def _best(rates: dict[str, list[float]], kind: str) -> list[float]:
    return max((each for side, each in rates.items() if side.startswith(kind)), key=median)
