"""The evaluation report: JSON for machines, Markdown and plots for people."""

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import PIL.Image
from matplotlib.figure import Figure as Plot
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_curve

from models.evaluation import Figure
from models.image import Array
from training.config import Recipe
from training.data.prepared import Prepared
from training.metrics import average_precision, dice, net_benefit
from training.operating import OperatingPoint, Questions
from training.regions import Overlapping, packed
from training.subgroups import SMALL, Subgroup
from training.task import Decision
from training.tasks import separated

matplotlib.use("agg")
TITLES = {
    "roc.png": "ROC",
    "confusion.png": "Confusion",
    "reliability.png": "Calibration",
    "worst.png": "Worst masks",
    "decision.png": "Decision curves",
}


@dataclass(frozen=True, slots=True)
class Found:
    """All that is told of one split."""

    figures: Sequence[Figure]
    subgroups: Sequence[Subgroup] = ()
    points: Sequence[OperatingPoint] = ()


def write(out: Path, recipe: Recipe, found: Found, *, split: str, plots: tuple[str, ...]) -> None:
    """out/report-<split>.json and .md; the plots are already there."""
    document = {
        "recipe": recipe.name,
        "split": split,
        "figures": [figure.model_dump(mode="json") for figure in found.figures],
        "subgroups": [group.document() for group in found.subgroups],
        "operating_points": [point.document() for point in found.points],
    }
    (out / f"report-{split}.json").write_text(json.dumps(document, indent=2) + "\n")
    columns = dict.fromkeys(group.column for group in found.subgroups)
    parts = [f"# {recipe.name}: {split} split", recipe.package.description, table(found.figures)]
    parts += [subgroup_table(column, [g for g in found.subgroups if g.column == column]) for column in columns]
    parts += [point_table(found.points, split=split)] if found.points else []
    parts += [f"## {title(name)}\n\n![{title(name)}]({name})" for name in plots]
    (out / f"report-{split}.md").write_text("\n\n".join(parts) + "\n")


def title(plot: str) -> str:
    return TITLES.get(plot, plot.removesuffix(".png"))


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table, a row a figure."""
    rows = [f"| {f.metric} | {f.value:.3f} | {f.low:.3f} to {f.high:.3f} | {f.n} | {f.split} |" for f in figures]
    return "\n".join(["| figure | value | 95 % interval | n | split |", "|---|---|---|---|---|", *rows])


def subgroup_table(column: str, subgroups: Sequence[Subgroup]) -> str:
    """A row a value of the column, a figure a metric; what is worst, and what is too small to tell much, says so."""
    names = list(dict.fromkeys(name for group in subgroups for name in group.figures))
    lines = [f"## By {column}", "", f"| {column} | n | {' | '.join(names)} | |", "|---" * (len(names) + 3) + "|"]
    for group in subgroups:
        count = f"{group.images}" if group.images == group.groups else f"{group.images} of {group.groups} groups"
        cells = [_cell(group.figures.get(name)) for name in names]
        says = ["**worst**"] * group.worst + [f"small: fewer than {SMALL} groups"] * group.small
        lines.append(f"| {group.value} | {count} | {' | '.join(cells)} | {'; '.join(says)} |")
    return "\n".join(lines)


def point_table(points: Sequence[OperatingPoint], *, split: str) -> str:
    """A row for each label and wanted sensitivity."""
    names = ("sensitivity", "specificity", "ppv", "npv")
    lines = [
        "## Operating points",
        "",
        f"Each threshold is the highest that reaches the wanted sensitivity on validation; the figures are of {split}.",
        "",
        f"| label | wanted sensitivity | threshold | {' | '.join(names)} |",
        "|---" * (len(names) + 3) + "|",
    ]
    for point in points:
        figures = {figure.metric: figure for figure in point.figures}
        cells = " | ".join(_cell(figures.get(name)) for name in names)
        lines.append(f"| {point.label} | {point.wanted:.2f} | {point.threshold:.3f} | {cells} |")
    return "\n".join(lines)


def _cell(figure: Figure | None) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})" if figure else "not defined"


def plots(
    recipe: Recipe,
    classes: Sequence[str],
    data: Prepared,
    probabilities: Sequence[Array],
    decision: Decision,
    asked: Questions,
) -> dict[str, bytes]:
    """File name -> PNG of each plot that suits the task."""
    if recipe.task == "classes":
        p, truth = np.stack(probabilities), np.stack(data.truths)
        sure = _reliability(p.max(axis=1), p.argmax(axis=1) == truth)
        return {"roc.png": _roc(asked), "confusion.png": _confusion(p, truth, classes), "reliability.png": sure}
    if recipe.task == "labels":
        p, there = np.stack(probabilities), np.stack(data.truths) > 0.5
        return {"roc.png": _roc(asked), "reliability.png": _reliability(p.ravel(), there.ravel())}
    if recipe.task == "objects":
        return {"worst.png": _worst(data, [separated(p, decision) for p in probabilities], _objects)}
    if recipe.task == "overlapping":
        return {"worst.png": _worst(data, [packed(Overlapping().answer(p, decision)) for p in probabilities], _areas)}
    return {"worst.png": _worst(data, [p.argmax(axis=0) for p in probabilities], _areas)}


def more_plots(found: Found, asked: Questions, *, headline: str) -> dict[str, bytes]:
    """File name -> PNG of the decision curves, and of each column's subgroups."""
    drawn = {"decision.png": _decision(asked)} if asked else {}
    whole = next(figure for figure in found.figures if figure.metric == headline)
    for column in dict.fromkeys(group.column for group in found.subgroups):
        groups = [group for group in found.subgroups if group.column == column and headline in group.figures]
        if groups:
            drawn["by-" + re.sub(r"\W+", "-", column) + ".png"] = _subgroups(groups, whole)
    return drawn


def _png(plot: Plot) -> bytes:
    """In 256 colours: a package has its plots with it, and pictures in full colour would be three times as large."""
    drawn, smaller = io.BytesIO(), io.BytesIO()
    plot.savefig(drawn, format="png", dpi=100)
    with PIL.Image.open(drawn) as picture:
        picture.convert("RGB").quantize(256).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()


def _roc(asked: Questions) -> bytes:
    """A curve for each label that some images have and some have not."""
    plot = Plot(figsize=(4.5, 4.5), layout="constrained")
    axes = plot.subplots()
    for label, (p, positive) in asked.items():
        if 0 < positive.sum() < len(positive):
            axes.plot(*roc_curve(positive, p)[:2], label=label)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.legend(loc="lower right")
    return _png(plot)


def _confusion(p: Array, truth: Array, classes: Sequence[str]) -> bytes:
    counts = confusion_matrix(truth, p.argmax(axis=1), labels=range(len(classes)))
    plot = Plot(figsize=(1.5 + 0.6 * max(4, len(classes)),) * 2, layout="constrained")
    axes = plot.subplots()
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, count, ha="center", va="center", color="w" if count > counts.max() / 2 else "k")
    ticks = range(len(classes))
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(ticks, classes, rotation=45, ha="right")
    axes.set_yticks(ticks, classes)
    return _png(plot)


def _reliability(confidence: Array, right: Array) -> bytes:
    """(n,) in [0, 1] and (n,) bool: how often what is said with so much confidence is so."""
    share, said = calibration_curve(right, confidence, n_bins=10)
    plot = Plot(figsize=(4.5, 4.5), layout="constrained")
    axes = plot.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot(said, share, marker="o")
    axes.set(xlabel="confidence", ylabel="accuracy", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    return _png(plot)


def _decision(asked: Questions) -> bytes:
    """Net benefit by threshold (Vickers 2006), beside that of treating all and none; below these it does harm."""
    plot = Plot(figsize=(4.5, 4.5), layout="constrained")
    axes = plot.subplots()
    thresholds = np.linspace(0.01, 0.99, 99)
    for number, (label, (p, positive)) in enumerate(asked.items()):
        model, everyone = (
            [net_benefit(chance, positive, threshold=t) for t in thresholds] for chance in (p, np.ones_like(p))
        )
        axes.plot(thresholds, model, label=label, color=f"C{number}")
        axes.plot(thresholds, everyone, color=f"C{number}", linestyle=":", linewidth=1)
    axes.axhline(0, color="grey", linestyle=":")
    top = max(float(positive.mean()) for _, positive in asked.values())
    axes.set(xlabel="threshold", ylabel="net benefit; dotted: all positive, none", ylim=(-0.1 * top - 0.01, 1.1 * top))
    axes.legend()
    return _png(plot)


def _subgroups(groups: Sequence[Subgroup], whole: Figure) -> bytes:
    """Each subgroup's headline and interval, the worst in red, small ones hollow; dotted: the whole split's."""
    plot = Plot(figsize=(6, 1 + 0.35 * len(groups)), layout="constrained")
    axes = plot.subplots()
    for row, group in enumerate(groups):
        figure, colour = group.figures[whole.metric], "#d55e00" if group.worst else "#0072b2"
        axes.plot([figure.low, figure.high], [row, row], color=colour)
        axes.plot(figure.value, row, marker="o", color=colour, markerfacecolor="white" if group.small else colour)
    axes.axvline(whole.value, color="grey", linestyle=":")
    axes.set_yticks(range(len(groups)), [f"{group.value} (n = {group.images})" for group in groups])
    axes.invert_yaxis()
    axes.set(xlabel=whole.metric)
    return _png(plot)


Judged = tuple[tuple[float, ...], str, str]  # by what the worst comes first, and the titles of truth and answer


def _objects(answer: Array, truth: Array) -> Judged:
    """(H, W) object numbers each."""
    ap, overlap = average_precision(answer, truth), dice(answer > 0, truth > 0)
    drawn, found = (len(np.unique(numbers[numbers > 0])) for numbers in (truth, answer))
    return (ap, overlap), f"truth: {drawn} objects", f"answer: {found}, AP {ap:.2f}, Dice {overlap:.2f}"


def _areas(answer: Array, truth: Array) -> Judged:
    """(H, W) class indices or bits each."""
    overlap = dice(answer > 0, truth > 0)
    return (overlap,), "truth", f"answer, Dice of all classes together {overlap:.2f}"


def _picture(x: Array) -> Array:
    """A prepared input (C, H, W) of any range -> (H, W, C) or (H, W) in [0, 1]; 1 % is black, 1 % white."""
    low, high = np.percentile(x, (1, 99))
    return np.clip((x.transpose(1, 2, 0) - low) / max(high - low, 1e-6), 0, 1).squeeze()


def _worst(data: Prepared, answers: Sequence[Array], judge: Callable[[Array, Array], Judged]) -> bytes:
    """Image, truth and answer (H, W) int of the four images that are judged lowest, worst first."""
    judged = [judge(answer, truth) for answer, truth in zip(answers, data.truths)]
    rows = sorted(range(len(judged)), key=lambda index: judged[index][0])[:4]
    plot = Plot(figsize=(9, 3.2 * len(rows)), layout="constrained")
    for index, axes in zip(rows, plot.subplots(len(rows), 3, squeeze=False)):
        axes[0].imshow(_picture(data.inputs[index]), cmap="gray", vmin=0, vmax=1)
        for one, numbers in zip(axes[1:], (data.truths[index], answers[index])):
            one.imshow(np.ma.masked_equal(numbers, 0) % 20, cmap="tab20", interpolation="nearest")
        for one, says in zip(axes, ("image", *judged[index][1:])):
            one.set_title(says, fontsize=9)
            one.set_axis_off()
    return _png(plot)
