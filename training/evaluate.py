"""Scores a checkpoint or a package on a split: python -m training.evaluate runs/nuclei/best.pt --split test

Writes report-<split>.json and .md with plots beside the checkpoint, every figure with its 95 % bootstrap interval, and
fails where a figure on the test split is below what the recipe says it must reach. --by site gives each site's figures.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from models.evaluation import Figure
from models.image import Array
from models.taxonomy import coarser
from training import metrics, report
from training.audit.check import copies
from training.config import Recipe, read_recipe
from training.data.examples import DataSet, Example, Split
from training.data.prepared import Prepared
from training.data.split import divide, split_digest
from training.metrics import Undefined, bootstrap, bootstrap_auroc, bootstrap_share
from training.mistakes import told
from training.operating import OperatingPoint, Questions, operating_points, questions
from training.regions import Regions
from training.report import Found
from training.subgroups import by_column, values_of
from training.subject import Subject, of_checkpoint, of_package
from training.task import Decision, Score, mean_of
from training.tasks import TASKS

OTHER_SPLIT = (
    "warning: this is not the split that the network was trained with. Where the data are those that it was trained on,"
    " some of what is evaluated here may have been trained on."
)


def main(subject: Subject, recipe: Recipe, *, split: Split, out: Path, by: Sequence[str] = ()) -> list[Figure]:
    """Writes the report into the folder `out`; returns its figures. by: columns whose values make subgroups."""
    dataset = recipe.dataset()
    parts = divide(dataset, recipe.split)
    if subject.split_sha256 not in ("", split_digest(parts)):
        print(OTHER_SPLIT)
    for column in by:
        values_of(column, parts[split])  # a mistyped column is told before the network runs
    data, probabilities = answered(subject, recipe, dataset, parts[split])
    scores = TASKS[recipe.task].scores(probabilities, data.truths, subject.decision)
    asked = questions(recipe, dataset.classes, probabilities, data.truths)
    figures = [
        *score(recipe, data, scores, split=split, copied=copies(recipe, parts, split)),
        *detailed(recipe, dataset, data, probabilities, asked, split),
        *decided(recipe, dataset, data, probabilities, subject.decision, split),
    ]
    headline = TASKS[recipe.task].headline
    found = Found(
        figures,
        [group for column in by for group in by_column(column, data.examples, scores, headline=headline, split=split)],
        points(subject, recipe, dataset, parts, asked, data, split=split),
    )
    out.mkdir(parents=True, exist_ok=True)
    plots = report.plots(recipe, dataset.classes, data, probabilities, subject.decision, asked)
    plots |= report.more_plots(found, asked, headline=headline)
    for name, content in plots.items():
        (out / name).write_bytes(content)
    report.write(out, recipe, found, split=split, plots=tuple(plots))
    return figures


def answered(
    subject: Subject, recipe: Recipe, dataset: DataSet, examples: Sequence[Example]
) -> tuple[Prepared, list[Array]]:
    """The examples, read, and the subject's probabilities for each."""
    data = Prepared(examples, config=recipe.input, task=TASKS[recipe.task], classes=len(dataset.classes))
    return data, [subject.probabilities(x) for x in data.inputs]


def score(
    recipe: Recipe, data: Prepared, scores: Mapping[str, Score], *, split: Split, copied: Set[str] = frozenset()
) -> list[Figure]:
    """Each of the task's scores over the split; over what is not copied; of masks, over each kind of image."""
    groups = np.array([example.group for example in data.examples])
    kinds = np.array([kind(example) if recipe.input.size is None else "" for example in data.examples])
    parts = {f"[{one}]": kinds == one for one in sorted(set(kinds))} if len(set(kinds)) > 1 else {}
    if copied:
        parts["[no copy elsewhere]"] = np.array([example.name not in copied for example in data.examples])
    figures = [bootstrap(name, of, groups=groups, split=split) for name, of in scores.items()]
    for part, member in parts.items():
        chosen = np.flatnonzero(member)
        for name, of in scores.items() if chosen.size else ():
            with suppress(Undefined):
                figures.append(bootstrap(name + part, lambda i: of(chosen[i]), groups=groups[chosen], split=split))  # noqa: B023
    return figures


def detailed(
    recipe: Recipe, dataset: DataSet, data: Prepared, probabilities: list[Array], asked: Questions, split: Split
) -> list[Figure]:
    """Of labels and of a taxonomy: the AUROC of each label and node, and the accuracy at each level of the tree.

    A label that the split does not define, because all or none of its images have it, is left out.
    """
    if recipe.task != "labels" and recipe.taxonomy is None:
        return []
    groups = np.array([example.group for example in data.examples])
    figures = []
    for label, (p, positive) in asked.items():
        with suppress(Undefined):
            figures.append(bootstrap_auroc(f"auroc[{label}]", p, positive, groups=groups, split=split))
    if recipe.taxonomy:
        tree, p, truth = recipe.taxonomy.of(dataset.classes), np.stack(probabilities), np.stack(data.truths)
        for depth in range(tree.depth):
            sums, place = coarser(p, tree.level(depth))
            right, every = sums.argmax(axis=1) == place[truth], np.ones(len(truth), bool)
            figures.append(bootstrap_share(f"accuracy[level {depth}]", right, every, groups=groups, split=split))
    return figures


def decided(
    recipe: Recipe, dataset: DataSet, data: Prepared, probabilities: list[Array], decision: Decision, split: Split
) -> list[Figure]:
    """Of several labels each one's F1 at its threshold, of several classes of pixels each one's Dice."""
    groups = np.array([example.group for example in data.examples])
    scores: dict[str, Score] = {}
    if recipe.task == "labels" and len(dataset.classes) > 1:
        there, said = np.stack(data.truths) > 0.5, np.stack(probabilities) >= np.array(decision.thresholds)
        for c, label in enumerate(dataset.classes):
            scores[f"f1[{label}]"] = lambda i, c=c: metrics.f1(said[i, c], there[i, c])  # type: ignore[misc]
    task = TASKS[recipe.task]
    if isinstance(task, Regions) and len(labels := dataset.classes[task.first :]) > 1:
        dice = task.by_class(metrics.dice, probabilities, data.truths, decision)  # (n, classes)
        scores |= {f"dice[{label}]": mean_of(each) for label, each in zip(labels, dice.T)}
    return [bootstrap(name, of, groups=groups, split=split) for name, of in scores.items()]


def points(
    subject: Subject,
    recipe: Recipe,
    dataset: DataSet,
    parts: Mapping[Split, Sequence[Example]],
    asked: Questions,
    data: Prepared,
    *,
    split: Split,
) -> list[OperatingPoint]:
    """What thresholds that are chosen on the validation split do on this one; none for masks."""
    if not asked or not parts.get("validation"):
        return []
    other, probabilities = answered(subject, recipe, dataset, parts["validation"])
    chosen_on = questions(recipe, dataset.classes, probabilities, other.truths)
    groups = np.array([example.group for example in data.examples])
    return operating_points(chosen_on, asked, groups=groups, split=split)


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
    parser.add_argument("--by", action="append", default=[], help="a column whose values make subgroups; repeatable")
    parser.add_argument("--out", type=Path, help="folder of the report; default: beside the checkpoint")
    args = parser.parse_args()
    if args.subject.is_dir() and not args.recipe:
        parser.error("a package needs --recipe, which says which data and split")
    return args


def asked_for(args: argparse.Namespace) -> tuple[Subject, Recipe]:
    """What is evaluated, and the recipe that says on what."""
    if args.subject.is_dir():
        return of_package(args.subject), read_recipe(args.recipe, data=args.data)
    evaluated, chosen = of_checkpoint(args.subject, device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    path = {"path": args.data} if args.data else {}
    return evaluated, chosen.model_copy(update={"data": chosen.data.model_copy(update=path)})


if __name__ == "__main__":
    args = arguments()
    with told():
        evaluated, chosen = asked_for(args)
        folder = args.out or (Path("runs") / chosen.name if args.subject.is_dir() else args.subject.parent)
        result = main(evaluated, chosen, split=args.split, out=folder, by=args.by)
    for figure in result:
        print(f"{figure.metric:16} {figure.value:.4f}  [{figure.low:.4f}, {figure.high:.4f}]  n = {figure.n}")
    if args.split == "test" and (below := missed(chosen, result)):
        sys.exit("\n".join(below))
