"""Evaluation report: JSON for programs, Markdown for people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.evaluation import Figure
from training.config import Recipe
from training.operating_points import OperatingPoint
from training.subgroups import SMALL, Subgroup

TITLES = {
    "roc.png": "ROC",
    "confusion.png": "Confusion",
    "reliability.png": "Calibration",
    "worst.png": "Worst masks",
    "decision.png": "Decision curves",
}


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Everything that is reported of one split."""

    figures: Sequence[Figure]
    subgroups: Sequence[Subgroup] = ()
    points: Sequence[OperatingPoint] = ()


def write(out: Path, recipe: Recipe, result: EvaluationResult, *, split: str, plots: tuple[str, ...]) -> None:
    """Writes out/report-<split>.json and .md; the plots are there already."""
    document = {
        "recipe": recipe.name,
        "split": split,
        "figures": [figure.model_dump(mode="json") for figure in result.figures],
        "subgroups": [group.document() for group in result.subgroups],
        "operating_points": [point.document() for point in result.points],
    }
    (out / f"report-{split}.json").write_text(json.dumps(document, indent=2) + "\n")
    columns = dict.fromkeys(group.column for group in result.subgroups)
    parts = [f"# {recipe.name}: {split} split", recipe.package.description, table(result.figures)]
    parts += [subgroup_table(column, [g for g in result.subgroups if g.column == column]) for column in columns]
    parts += [point_table(result.points, split=split)] if result.points else []
    parts += [f"## {title(name)}\n\n![{title(name)}]({name})" for name in plots]
    (out / f"report-{split}.md").write_text("\n\n".join(parts) + "\n")


def title(plot: str) -> str:
    return TITLES.get(plot, plot.removesuffix(".png"))


def table(figures: Sequence[Figure]) -> str:
    """Formats a Markdown table with one row per figure."""
    rows = [f"| {f.metric} | {f.value:.3f} | {f.low:.3f} to {f.high:.3f} | {f.n} | {f.split} |" for f in figures]
    return "\n".join(["| figure | value | 95 % interval | n | split |", "|---|---|---|---|---|", *rows])


def subgroup_table(column: str, subgroups: Sequence[Subgroup]) -> str:
    """Formats one row per value of the column and one column per metric; marks worst and small subgroups."""
    names = list(dict.fromkeys(name for group in subgroups for name in group.figures))
    lines = [f"## By {column}", "", f"| {column} | n | {' | '.join(names)} | |", "|---" * (len(names) + 3) + "|"]
    for group in subgroups:
        count = f"{group.images}" if group.images == group.groups else f"{group.images} of {group.groups} groups"
        cells = [_cell(group.figures.get(name)) for name in names]
        remarks = ["**worst**"] * group.worst + [f"small: fewer than {SMALL} groups"] * group.small
        lines.append(f"| {group.value} | {count} | {' | '.join(cells)} | {'; '.join(remarks)} |")
    return "\n".join(lines)


def point_table(points: Sequence[OperatingPoint], *, split: str) -> str:
    """Formats one row per label and target sensitivity."""
    names = ("sensitivity", "specificity", "ppv", "npv")
    lines = [
        "## Operating points",
        "",
        f"Each threshold is the highest that reaches the target sensitivity on validation; figures are for {split}.",
        "",
        f"| label | target sensitivity | threshold | {' | '.join(names)} |",
        "|---" * (len(names) + 3) + "|",
    ]
    for point in points:
        figures = {figure.metric: figure for figure in point.figures}
        cells = " | ".join(_cell(figures.get(name)) for name in names)
        lines.append(f"| {point.label} | {point.target_sensitivity:.2f} | {point.threshold:.3f} | {cells} |")
    return "\n".join(lines)


def _cell(figure: Figure | None) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})" if figure else "not defined"
