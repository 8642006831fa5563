"""The pictures of docs/architecture.md, drawn from the imports and the code: `python -m docs.architecture`."""

import ast
import re
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PAGE = ROOT / "docs" / "architecture.md"
LANES = ("event loop", "worker thread", "session thread")
Arrow = tuple[str, str]
Point = tuple[float, float]

INK, FAINT, PAPER = "#1f2933", "#7b8794", "#ffffff"
FILLS = ("#dbeafe", "#e0f2fe", "#dcfce7", "#fef9c3", "#ffedd5", "#fce7f3", "#ede9fe", "#f1f5f9")  # a layer each
SANS, MONO = "font-family='DejaVu Sans, Verdana, sans-serif'", "font-family='DejaVu Sans Mono, Menlo, monospace'"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a request's path: what happens, in which function, and on which thread it runs."""

    lane: str
    title: str
    file: str
    function: str


def steps() -> list[Step]:
    """Returns the steps of the page's table."""
    row = re.compile(r"^\| \d+ \| (.+?) \| (.+?) \| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)
    return [Step(lane, title, file, name) for title, lane, file, name in row.findall(PAGE.read_text())]


def layers() -> list[list[str]]:
    """Returns the rooms from top to bottom, as import-linter's contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = (contract["layers"] for contract in contracts if contract.get("containers") == ["service"])
    return [[name.strip(" ()") for name in layer.split("|")] for layer in found]


def arrows() -> set[Arrow]:
    """Returns (room, imported room), of every import in service/."""
    graph = grimp.build_graph("service", cache_dir=None)
    found = {
        (module.split(".")[1], imported.split(".")[1])
        for module in graph.modules - {"service"}
        for imported in graph.find_modules_directly_imported_by(module) - {"service"}
    }
    return {(room, imported) for room, imported in found if room != imported and room != "__main__"}


def reduced(found: set[Arrow]) -> set[Arrow]:
    """Leaves out each arrow that a longer way says as well."""

    def reached(room: str) -> set[str]:
        below = {imported for importer, imported in found if importer == room}
        return below.union(*(reached(each) for each in below))

    return {
        (room, imported)
        for room, imported in found
        if not any(imported in reached(between) for importer, between in found if importer == room)
    }


def caption(room: str) -> str:
    """Returns the first sentence of a room's docstring."""
    path = ROOT / "service" / room
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    return (ast.get_docstring(ast.parse(text)) or "").replace("\n", " ").split(". ")[0].replace("`", "").rstrip(".")


def text(x: float, y: float, words: str, *, size: int = 13, style: str = "", fill: str = INK) -> str:
    return f"<text x='{x:g}' y='{y:g}' font-size='{size}' fill='{fill}' {style or SANS}>{escape(words)}</text>"


def box(x: float, y: float, width: float, height: float, *, fill: str, stroke: str = INK) -> str:
    return f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='6' fill='{fill}' stroke='{stroke}'/>"


def line(*points: Point) -> str:
    """A line downwards through the points, upright at each, that ends in an arrow's head."""
    path = f"M{points[0][0]:g},{points[0][1]:g}"
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (y1 + y2) / 2
        path += f" C{x1:g},{middle:g} {x2:g},{middle:g} {x2:g},{y2:g}"
    return f"<path d='{path}' fill='none' stroke='{FAINT}' stroke-width='1.4' marker-end='url(#head)'/>"


def svg(width: float, height: float, parts: Iterable[str]) -> str:
    head = (
        "<defs><marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        f"<path d='M0,0 L8,4 L0,8 z' fill='{FAINT}'/></marker></defs>"
    )
    start = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' width='{width:g}'>"
    return "\n".join((start, head, box(0, 0, width, height, fill=PAPER, stroke=PAPER), *parts, "</svg>\n"))


def rooms() -> str:
    """Returns the rooms of the service as an SVG: a row a layer, an arrow where one imports another."""
    width, row, tall = 1240, 142, 82
    places: dict[str, tuple[float, float, float]] = {}  # room -> x, y, width
    for depth, layer in enumerate(layers()):
        gap = 160 if len(layer) == 2 else 20  # room for the arrows that pass between two boxes
        wide = min(300, (width - 100 - gap * (len(layer) - 1)) / len(layer))
        left = (width - wide * len(layer) - gap * (len(layer) - 1)) / 2
        places |= {room: (left + i * (wide + gap), 60 + depth * row, wide) for i, room in enumerate(layer)}
    bottom = 60 + len(layers()) * row - row + tall
    parts = [
        box(20, 16, width - 40, bottom + 8, fill="#fafafa", stroke=FAINT),
        text(36, 42, "service/", size=16, style=MONO),
    ]
    parts += [line(*points) for points in _lines(places, tall)]
    for depth, layer in enumerate(layers()):
        for room in layer:
            x, y, wide = places[room]
            parts += [box(x, y, wide, tall, fill=FILLS[depth % len(FILLS)]), *_named(x, y, wide, room)]
    parts += _neighbours(width, bottom + 40)
    return svg(width, bottom + 170, parts)


def _lines(places: dict[str, tuple[float, float, float]], tall: float) -> Iterator[list[Point]]:
    """Each arrow's points: it leaves and enters beside the others, and passes between the boxes on its way."""
    drawn = reduced(arrows())
    middle = {room: x + wide / 2 for room, (x, _, wide) in places.items()}
    passed: Counter[Point] = Counter()
    for room, imported in sorted(drawn):
        out = sorted((b for a, b in drawn if a == room), key=lambda each: (middle[each], each))
        into = sorted((a for a, b in drawn if b == imported), key=lambda each: (middle[each], each))
        x1, y1, wide1 = places[room]
        x2, y2, wide2 = places[imported]
        points = [(x1 + wide1 * (out.index(imported) + 1) / (len(out) + 1), y1 + tall)]
        end = (x2 + wide2 * (into.index(room) + 1) / (len(into) + 1), y2)
        for layer in layers():
            x, y, wide = places[layer[0]]
            if y1 < y < y2:
                gaps = [x - 40, *(places[each][0] + wide + 40 for each in layer)]
                gap = min(gaps, key=lambda gap: abs(gap - points[-1][0]) + abs(gap - end[0]))
                gap += 14 * passed[gap, y]
                passed[gap, y] += 1
                points += [(gap, y), (gap, y + tall)]
        yield [*points, end]


def _named(x: float, y: float, wide: float, room: str) -> Iterator[str]:
    name = f"{room}/" if (ROOT / "service" / room).is_dir() else f"{room}.py"
    yield text(x + 12, y + 22, name, size=15, style=f"{MONO} font-weight='bold'")
    lines = textwrap.wrap(caption(room), int((wide - 20) / 6.7))
    if len(lines) > 3:
        lines = textwrap.wrap(caption(room).split(": ")[0].split("; ")[0], int((wide - 20) / 6.7))
    for i, words in enumerate(lines):
        yield text(x + 12, y + 41 + 16 * i, words, size=12)


def _neighbours(width: float, y: float) -> Iterator[str]:
    """models/ and training/, below the service."""
    half = (width - 60) / 2
    for x, name, words in (
        (20, "models/", "What a model is: package, preprocessing, decoders. It imports neither of the two others"),
        (
            40 + half,
            "training/",
            "Offline: recipe, data, network, loop, export. PyTorch is here and in models/architectures/",
        ),
    ):
        yield box(x, y + 30, half, 84, fill="#f8fafc")
        yield text(x + 12, y + 54, name, size=15, style=f"{MONO} font-weight='bold'")
        for i, part in enumerate(textwrap.wrap(words, int(half / 7))):
            yield text(x + 12, y + 74 + 17 * i, part, size=12)
    yield line((20 + half / 2, y - 16), (20 + half / 2, y + 30))
    middle = y + 72
    yield f"<path d='M{40 + half:g},{middle:g} L{22 + half:g},{middle:g}' stroke='{FAINT}' marker-end='url(#head)'/>"


def way() -> str:
    """Returns a request's path as an SVG: a column a thread, a box a step."""
    wide, row, tall = 430, 84, 60
    width, height = 3 * (wide + 20) + 20, 70 + len(steps()) * row
    left = {lane: 20 + i * (wide + 20) for i, lane in enumerate(LANES)}
    parts = [text(left[lane] + 12, 34, lane, size=16, style=f"{SANS} font-weight='bold'") for lane in LANES]
    for number, (step, following) in enumerate(zip(steps(), (*steps()[1:], None)), start=1):
        x, y = left[step.lane], 50 + (number - 1) * row
        if following:
            parts.append(line((x + wide / 2, y + tall), (left[following.lane] + wide / 2, y + row)))
        parts += [
            box(x, y, wide, tall, fill=FILLS[2 * LANES.index(step.lane)]),
            text(x + 12, y + 24, f"{number}. {step.title}", size=13),
            text(x + 12, y + 45, f"{step.file.removeprefix('service/')}: {step.function}", size=11, style=MONO),
        ]
    return svg(width, height, parts)


PICTURES = {"architecture.svg": rooms, "request.svg": way}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (IMAGES / name).write_text(draw())
