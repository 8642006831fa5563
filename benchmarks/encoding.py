"""Encoding benchmark: the service's PNG writer against Pillow's default settings."""

import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import numpy as np
import PIL.Image

from benchmarks import images, report
from benchmarks.plan import Plan
from benchmarks.report import Section, Table
from benchmarks.rounds import CONTROL, AtMost, Finding, Ratio, interleaved, with_control
from models.image import Array
from service.encode.colour import blend, colormap
from service.encode.png_writer import png

SIDE = 1024  # px


def run(plan: Plan) -> Iterator[Section]:
    picture = overlay()
    sides = {
        "Pillow": partial(_seconds, partial(_pillow, picture)),
        "service": partial(_seconds, partial(png, picture)),
    }
    rounds = plan.rounds or 20
    seconds = interleaved(with_control(sides, of="service"), rounds=rounds)
    control = Ratio.of(seconds[CONTROL], seconds["service"])
    what = "PNG of an overlay / Pillow's default"
    found = [Finding(what, Ratio.of(seconds["service"], seconds["Pillow"]), control, AtMost(0.1))]
    sizes = {"service": len(png(picture)), "Pillow": len(_pillow(picture))}
    rows = [(side, f"{median(seconds[side]) * 1e3:.1f}", f"{size / 1e6:.2f}") for side, size in sizes.items()]
    about = f"{images.large_xray().about}, enlarged to {SIDE} x {SIDE} RGB, under a heatmap. {rounds} rounds."
    yield Section("Encoding", about, [report.findings(found), Table(("side", "ms", "MB"), rows)])


def overlay() -> Array:
    """Returns an X-ray under a smooth map, as /cam?format=overlay, (SIDE, SIDE, 3) uint8."""
    xray = PIL.Image.open(io.BytesIO(images.large_xray().data)).convert("RGB").resize((SIDE, SIDE))
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    heat = np.exp(-8 * ((x - 0.4) ** 2 + (y - 0.6) ** 2)).astype(np.float32)
    return blend(np.asarray(xray), colormap(heat, "viridis"), 0.5 * heat)


def _pillow(picture: Array) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _seconds(encode: Callable[[], bytes]) -> float:
    encode()  # the first after something else finds a cold cache
    started = time.perf_counter()
    encode()
    return time.perf_counter() - started
