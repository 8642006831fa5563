"""The evaluation report: JSON for machines, Markdown and plots for people."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Plot
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_curve

from models.image import Array
from models.spec import Figure
from training.config import Recipe
from training.data.prepared import Prepared
from training.metrics import average_precision, dice
from training.tasks import Decision, separated

matplotlib.use("agg")
TITLES = {"roc.png": "ROC", "confusion.png": "Confusion", "reliability.png": "Calibration", "worst.png": "Worst masks"}


def write(out: Path, recipe: Recipe, figures: Sequence[Figure], *, split: str, plots: tuple[str, ...]) -> None:
    """out/report-<split>.json and .md; the plots are already there."""
    values = [figure.model_dump(mode="json") for figure in figures]
    document = {"recipe": recipe.name, "split": split, "figures": values}
    (out / f"report-{split}.json").write_text(json.dumps(document, indent=2) + "\n")
    pictures = [f"\n## {TITLES[name]}\n\n![{TITLES[name]}]({name})" for name in plots]
    lines = [f"# {recipe.name}: {split} split", "", recipe.package.description, "", table(figures), *pictures]
    (out / f"report-{split}.md").write_text("\n".join(lines) + "\n")


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table, a row a figure."""
    rows = [f"| {f.metric} | {f.value:.3f} | {f.low:.3f} to {f.high:.3f} | {f.n} | {f.split} |" for f in figures]
    return "\n".join(["| figure | value | 95 % interval | n | split |", "|---|---|---|---|---|", *rows])


def plots(
    recipe: Recipe, classes: Sequence[str], data: Prepared, probabilities: Sequence[Array], decision: Decision
) -> dict[str, bytes]:
    """File name -> PNG of each plot that suits the task."""
    if recipe.task == "classes":
        p, truth = np.stack(probabilities), np.stack(data.truths)
        return {
            "roc.png": _roc(p, truth, classes),
            "confusion.png": _confusion(p, truth, classes),
            "reliability.png": _reliability(p, truth),
        }
    if recipe.task == "objects":
        return {"worst.png": _worst(data, [separated(p, decision) for p in probabilities])}
    if recipe.task == "regions":
        return {"worst.png": _worst(data, [p.argmax(axis=0) for p in probabilities])}
    return {}


def _png(plot: Plot) -> bytes:
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _roc(p: Array, truth: Array, classes: Sequence[str]) -> bytes:
    plot = Plot(figsize=(4.5, 4.5), layout="constrained")
    axes = plot.subplots()
    for c in range(len(classes)) if len(classes) > 2 else [1]:
        axes.plot(*roc_curve(truth == c, p[:, c])[:2], label=classes[c])
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


def _reliability(p: Array, truth: Array) -> bytes:
    accuracy, confidence = calibration_curve(p.argmax(axis=1) == truth, p.max(axis=1), n_bins=10)
    plot = Plot(figsize=(4.5, 4.5), layout="constrained")
    axes = plot.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot(confidence, accuracy, marker="o")
    axes.set(xlabel="confidence", ylabel="accuracy", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    return _png(plot)


def _worst(data: Prepared, answers: Sequence[Array], *, count: int = 4) -> bytes:
    """Image, truth and answer (H, W) int of the images with the lowest AP@0.5, then Dice, worst first."""
    rows = [
        (average_precision(labels, truth), dice(labels > 0, truth > 0), x, truth, labels)
        for x, truth, labels in zip(data.inputs, data.truths, answers)
    ]
    rows = sorted(rows, key=lambda row: row[:2])[:count]
    plot = Plot(figsize=(9, 3.2 * count), layout="constrained")
    for (ap, overlap, x, truth, labels), axes in zip(rows, plot.subplots(count, 3, squeeze=False)):
        axes[0].imshow(np.clip(x.transpose(1, 2, 0), 0, 1).squeeze(), cmap="gray")
        axes[1].imshow(np.ma.masked_equal(truth, 0) % 20, cmap="tab20", interpolation="nearest")
        axes[2].imshow(np.ma.masked_equal(labels, 0) % 20, cmap="tab20", interpolation="nearest")
        titles = ("image", f"truth: {truth.max()} objects", f"answer: {labels.max()}, AP {ap:.2f}, Dice {overlap:.2f}")
        for one, title in zip(axes, titles):
            one.set_title(title, fontsize=9)
            one.set_axis_off()
    return _png(plot)
