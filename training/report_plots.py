"""Plots of the evaluation report."""

import io
import re
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
import PIL.Image
from matplotlib.figure import Figure as Plot
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_curve

from models.evaluation import Figure
from models.image import Array
from training.config import Recipe
from training.evaluation_metrics import average_precision, dice, net_benefit
from training.operating_points import BinaryOutcomes
from training.prepared_dataset import PreparedDataset
from training.report import EvaluationResult
from training.subgroups import Subgroup
from training.tasks.instance_task import separate_objects
from training.tasks.pixel_tasks import MultilabelSemantic, pack_bits
from training.tasks.training_task import Decision

matplotlib.use("agg")


def task_plots(
    recipe: Recipe,
    classes: Sequence[str],
    data: PreparedDataset,
    probabilities: Sequence[Array],
    decision: Decision,
    outcomes: BinaryOutcomes,
) -> dict[str, bytes]:
    """Draws the plots that suit the task: file name -> PNG."""
    if recipe.task == "multiclass":
        p, truth = np.stack(probabilities), np.stack(data.truths)
        calibration = _reliability(p.max(axis=1), p.argmax(axis=1) == truth)
        return {
            "roc.png": _roc(outcomes),
            "confusion.png": _confusion(p, truth, classes),
            "reliability.png": calibration,
        }
    if recipe.task == "multilabel":
        p, present = np.stack(probabilities), np.stack(data.truths) > 0.5
        return {"roc.png": _roc(outcomes), "reliability.png": _reliability(p.ravel(), present.ravel())}
    if recipe.task == "instance":
        return {"worst.png": _worst(data, [separate_objects(p, decision) for p in probabilities], rank_objects)}
    if recipe.task == "multilabel_semantic":
        return {
            "worst.png": _worst(
                data,
                [pack_bits(MultilabelSemantic().predicted_masks(p, decision)) for p in probabilities],
                rank_classes,
            )
        }
    return {"worst.png": _worst(data, [p.argmax(axis=0) for p in probabilities], rank_classes)}


def subgroup_and_decision_plots(
    result: EvaluationResult, outcomes: BinaryOutcomes, *, headline: str
) -> dict[str, bytes]:
    """Draws the decision curves and each column's subgroups: file name -> PNG."""
    plots_by_name = {"decision.png": _decision(outcomes)} if outcomes else {}
    whole = next(figure for figure in result.figures if figure.metric == headline)
    for column in dict.fromkeys(group.column for group in result.subgroups):
        groups = [group for group in result.subgroups if group.column == column and headline in group.figures]
        if groups:
            plots_by_name["by-" + re.sub(r"\W+", "-", column) + ".png"] = _subgroups(groups, whole)
    return plots_by_name


def _png(plot: Plot) -> bytes:
    """Encodes a plot in 256 colours: packages include plots, and full colour would be three times as large."""
    full_colour, smaller = io.BytesIO(), io.BytesIO()
    plot.savefig(full_colour, format="png", dpi=100)
    with PIL.Image.open(full_colour) as picture:
        picture.convert("RGB").quantize(256).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()


def _roc(outcomes: BinaryOutcomes) -> bytes:
    """Draws a curve for each label that some images have and others do not."""
    plot = Plot(figsize=(4.5, 4.5), layout="constrained")
    axes = plot.subplots()
    for label, (p, positive) in outcomes.items():
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


def _reliability(confidence: Array, correct: Array) -> bytes:
    """Draws accuracy against confidence; confidence (n,) in [0, 1], correct (n,) bool."""
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=10)
    plot = Plot(figsize=(4.5, 4.5), layout="constrained")
    axes = plot.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot(mean_confidence, accuracy, marker="o")
    axes.set(xlabel="confidence", ylabel="accuracy", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    return _png(plot)


def _decision(outcomes: BinaryOutcomes) -> bytes:
    """Draws net benefit by threshold (Vickers 2006), with that of treating all and treating none."""
    plot = Plot(figsize=(4.5, 4.5), layout="constrained")
    axes = plot.subplots()
    thresholds = np.linspace(0.01, 0.99, 99)
    for number, (label, (p, positive)) in enumerate(outcomes.items()):
        model, everyone = (
            [net_benefit(chance, positive, threshold=t) for t in thresholds] for chance in (p, np.ones_like(p))
        )
        axes.plot(thresholds, model, label=label, color=f"C{number}")
        axes.plot(thresholds, everyone, color=f"C{number}", linestyle=":", linewidth=1)
    axes.axhline(0, color="grey", linestyle=":")
    top = max(float(positive.mean()) for _, positive in outcomes.values())
    axes.set(
        xlabel="threshold", ylabel="net benefit (dotted: treat all, treat none)", ylim=(-0.1 * top - 0.01, 1.1 * top)
    )
    axes.legend()
    return _png(plot)


def _subgroups(groups: Sequence[Subgroup], whole: Figure) -> bytes:
    """Draws each subgroup's headline and interval: worst in red, small ones hollow, the whole split dotted."""
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


RankedMask = tuple[tuple[float, ...], str, str]  # sort key, worst first, and the titles of truth and prediction


def rank_objects(predicted: Array, truth: Array) -> RankedMask:
    """Ranks predicted object numbers (H, W) by AP, then Dice, and titles them."""
    ap, overlap = average_precision(predicted, truth), dice(predicted > 0, truth > 0)
    true_count, count = (len(np.unique(numbers[numbers > 0])) for numbers in (truth, predicted))
    return (ap, overlap), f"truth: {true_count} objects", f"prediction: {count}, AP {ap:.2f}, Dice {overlap:.2f}"


def rank_classes(predicted: Array, truth: Array) -> RankedMask:
    """Ranks predicted class indices or bits (H, W) by the Dice of their foreground, and titles them."""
    overlap = dice(predicted > 0, truth > 0)
    return (overlap,), "truth", f"prediction, foreground Dice {overlap:.2f}"


def displayable(x: Array) -> Array:
    """Scales a prepared input (C, H, W) of any range to (H, W, C) or (H, W) in [0, 1]; 1 % is black, 1 % white."""
    low, high = np.percentile(x, (1, 99))
    scaled: Array = np.clip((x.transpose(1, 2, 0) - low) / max(high - low, 1e-6), 0, 1)
    return scaled.squeeze()


def _worst(data: PreparedDataset, masks: Sequence[Array], rank: Callable[[Array, Array], RankedMask]) -> bytes:
    """Draws image, truth and predicted mask (H, W) int of the four worst images, worst first."""
    ranked = [rank(mask, truth) for mask, truth in zip(masks, data.truths)]
    rows = sorted(range(len(ranked)), key=lambda index: ranked[index][0])[:4]
    plot = Plot(figsize=(9, 3.2 * len(rows)), layout="constrained")
    for index, axes in zip(rows, plot.subplots(len(rows), 3, squeeze=False)):
        axes[0].imshow(displayable(data.inputs[index]), cmap="gray", vmin=0, vmax=1)
        for one, numbers in zip(axes[1:], (data.truths[index], masks[index])):
            one.imshow(np.ma.masked_equal(numbers, 0) % 20, cmap="tab20", interpolation="nearest")
        for one, title in zip(axes, ("image", *ranked[index][1:])):
            one.set_title(title, fontsize=9)
            one.set_axis_off()
    return _png(plot)
