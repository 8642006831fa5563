"""Scores a checkpoint or a package on a split: python -m training.evaluate runs/nuclei/best.pt --split test

Writes report-<split>.json and .md with plots beside the checkpoint, every figure with its 95 % bootstrap interval, and
fails where a figure on the test split is below what the recipe says it must reach.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from models.image import Array
from models.spec import Figure
from training import report
from training.config import Recipe, read_recipe
from training.data.examples import Example, Split
from training.data.prepared import Prepared
from training.data.split import divide
from training.metrics import bootstrap
from training.subject import Subject, of_checkpoint, of_package
from training.tasks import TASKS


def main(subject: Subject, recipe: Recipe, *, split: Split, out: Path) -> list[Figure]:
    """Writes the report into the folder `out`; returns its figures."""
    dataset = recipe.data.load()
    parts = divide(dataset, recipe.split)
    data = Prepared(parts[split], config=recipe.input, task=TASKS[recipe.task], classes=len(dataset.classes))
    probabilities = [subject.probabilities(x) for x in data.inputs]
    figures = score(subject, recipe, data, probabilities, split=split)
    out.mkdir(parents=True, exist_ok=True)
    plots = report.plots(recipe, dataset.classes, data, probabilities, subject.decision)
    for name, content in plots.items():
        (out / name).write_bytes(content)
    report.write(out, recipe, figures, split=split, plots=tuple(plots))
    return figures


def score(
    subject: Subject, recipe: Recipe, data: Prepared, probabilities: list[Array], *, split: Split
) -> list[Figure]:
    """Each of the task's scores over the split and, for masks, over each kind of image in it."""
    task = TASKS[recipe.task]
    scores = task.scores(probabilities, data.truths, subject.decision)
    groups = np.array([example.group for example in data.examples])
    figures = [bootstrap(name, of, groups=groups, split=split) for name, of in scores.items()]
    if recipe.input.size:
        return figures
    kinds = np.array([kind(example) for example in data.examples])
    for one in sorted(set(kinds)) if len(set(kinds)) > 1 else []:
        chosen = np.flatnonzero(kinds == one)
        for name, of in scores.items():
            part = bootstrap(f"{name}[{one}]", lambda i: of(chosen[i]), groups=groups[chosen], split=split)  # noqa: B023
            figures.append(part)
    return figures


def kind(example: Example) -> str:
    """The first word of a mask's stratum: dark or bright, say."""
    return example.stratum.partition(" ")[0]


def missed(recipe: Recipe, figures: list[Figure]) -> list[str]:
    """A sentence for each figure below the recipe's minimum."""
    values = {figure.metric: figure.value for figure in figures}
    return [
        f"{metric} is {values.get(metric, float('nan')):.4f}; {recipe.name} must reach {minimum}."
        for metric, minimum in recipe.reach.items()
        if not values.get(metric, float("nan")) >= minimum
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", type=Path, help="a run's best.pt, or a package's folder")
    parser.add_argument("--recipe", type=Path, help="for a package: the recipe that says which data and split")
    parser.add_argument("--data", type=Path, help="where the data is, in place of the recipe's path")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--out", type=Path, help="folder of the report; default: beside the checkpoint")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    if args.subject.is_dir():
        evaluated, chosen = of_package(args.subject), read_recipe(args.recipe, data=args.data)
    else:
        where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        evaluated, chosen = of_checkpoint(args.subject, device=where)
        if args.data:
            chosen = chosen.model_copy(update={"data": chosen.data.model_copy(update={"path": args.data})})
    folder = args.out or (Path("runs") / chosen.name if args.subject.is_dir() else args.subject.parent)
    result = main(evaluated, chosen, split=args.split, out=folder)
    for figure in result:
        print(f"{figure.metric:16} {figure.value:.4f}  [{figure.low:.4f}, {figure.high:.4f}]  n = {figure.n}")
    if args.split == "test" and (below := missed(chosen, result)):
        sys.exit("\n".join(below))
