"""Evaluation of a checkpoint or package on a split.

python -m training.evaluate runs/nuclei/best.pt --split test

Writes report-<split>.json and .md with plots beside the checkpoint; every figure has a 95 % bootstrap interval. Fails
if a figure on the test split is below the recipe's [reach]. --by site adds the figures of each site.
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
from training import evaluation_metrics as metrics
from training import report, report_plots
from training.audit.data_audit import copied_examples
from training.config import Recipe, read_recipe
from training.data.examples import DataSet, Example, Split
from training.data.split import divide, split_digest
from training.evaluated_model import EvaluatedModel, model_from_checkpoint, model_from_package
from training.evaluation_metrics import Undefined, bootstrap, bootstrap_auroc, bootstrap_fraction
from training.operating_points import BinaryOutcomes, OperatingPoint, binary_outcomes, operating_points
from training.prepared_dataset import PreparedDataset
from training.report import EvaluationResult
from training.subgroups import by_column, column_values
from training.tasks import TASKS
from training.tasks.pixel_tasks import Semantic
from training.tasks.training_task import Decision, Score, mean_score
from training.user_errors import exit_on_user_error

OTHER_SPLIT = (
    "warning: this is not the split that the network was trained with. If the data set is the same, some of these"
    " examples may have been used for training."
)


def main(model: EvaluatedModel, recipe: Recipe, *, split: Split, out: Path, by: Sequence[str] = ()) -> list[Figure]:
    """Writes the report into folder `out` and returns its figures. by: columns whose values form subgroups."""
    dataset = recipe.dataset()
    parts = divide(dataset, recipe.split)
    if model.split_sha256 not in ("", split_digest(parts)):
        print(OTHER_SPLIT)
    for column in by:
        column_values(column, parts[split])  # a mistyped column fails before the network runs
    data, probabilities = predict_examples(model, recipe, dataset, parts[split])
    scores = TASKS[recipe.task].scores(probabilities, data.truths, model.decision)
    outcomes = binary_outcomes(recipe, dataset.classes, probabilities, data.truths)
    figures = [
        *split_figures(recipe, data, scores, split=split, copied=copied_examples(recipe, parts, split)),
        *label_figures(recipe, dataset, data, probabilities, outcomes, split),
        *decision_figures(recipe, dataset, data, probabilities, model.decision, split),
    ]
    headline = TASKS[recipe.task].headline
    result = EvaluationResult(
        figures,
        [group for column in by for group in by_column(column, data.examples, scores, headline=headline, split=split)],
        validated_operating_points(model, recipe, dataset, parts, outcomes, data, split=split),
    )
    out.mkdir(parents=True, exist_ok=True)
    plots = report_plots.task_plots(recipe, dataset.classes, data, probabilities, model.decision, outcomes)
    plots |= report_plots.subgroup_and_decision_plots(result, outcomes, headline=headline)
    for name, content in plots.items():
        (out / name).write_bytes(content)
    report.write(out, recipe, result, split=split, plots=tuple(plots))
    return figures


def predict_examples(
    model: EvaluatedModel, recipe: Recipe, dataset: DataSet, examples: Sequence[Example]
) -> tuple[PreparedDataset, list[Array]]:
    """Reads the examples and computes the model's probabilities for each."""
    data = PreparedDataset(examples, config=recipe.input, task=TASKS[recipe.task], classes=len(dataset.classes))
    return data, [model.probabilities(x) for x in data.inputs]


def split_figures(
    recipe: Recipe, data: PreparedDataset, scores: Mapping[str, Score], *, split: Split, copied: Set[str] = frozenset()
) -> list[Figure]:
    """Computes the task's scores over the split, over images without copies, and over each kind of image."""
    groups = np.array([example.group for example in data.examples])
    kinds = np.array([image_kind(example) if recipe.input.size is None else "" for example in data.examples])
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


def label_figures(
    recipe: Recipe,
    dataset: DataSet,
    data: PreparedDataset,
    probabilities: list[Array],
    outcomes: BinaryOutcomes,
    split: Split,
) -> list[Figure]:
    """Computes the AUROC of each label and taxonomy node, and the accuracy at each level of the taxonomy.

    A label that all or none of the images have is left out.
    """
    if recipe.task != "multilabel" and recipe.taxonomy is None:
        return []
    groups = np.array([example.group for example in data.examples])
    figures = []
    for label, (p, positive) in outcomes.items():
        with suppress(Undefined):
            figures.append(bootstrap_auroc(f"auroc[{label}]", p, positive, groups=groups, split=split))
    if recipe.taxonomy:
        tree, p, truth = recipe.taxonomy.of(dataset.classes), np.stack(probabilities), np.stack(data.truths)
        for depth in range(tree.depth):
            sums, place = coarser(p, tree.level(depth))
            correct, everything = sums.argmax(axis=1) == place[truth], np.ones(len(truth), bool)
            figures.append(
                bootstrap_fraction(f"accuracy[level {depth}]", correct, everything, groups=groups, split=split)
            )
    return figures


def decision_figures(
    recipe: Recipe,
    dataset: DataSet,
    data: PreparedDataset,
    probabilities: list[Array],
    decision: Decision,
    split: Split,
) -> list[Figure]:
    """Computes each label's F1 at its threshold, or each pixel class's Dice."""
    groups = np.array([example.group for example in data.examples])
    scores: dict[str, Score] = {}
    if recipe.task == "multilabel" and len(dataset.classes) > 1:
        present, predicted = np.stack(data.truths) > 0.5, np.stack(probabilities) >= np.array(decision.thresholds)
        for c, label in enumerate(dataset.classes):
            scores[f"f1[{label}]"] = lambda i, c=c: metrics.f1(predicted[i, c], present[i, c])  # type: ignore[misc]
    task = TASKS[recipe.task]
    if isinstance(task, Semantic) and len(labels := dataset.classes[task.first_scored_class :]) > 1:
        dice = task.class_scores(metrics.dice, probabilities, data.truths, decision)  # (n, classes)
        scores |= {f"dice[{label}]": mean_score(each) for label, each in zip(labels, dice.T)}
    return [bootstrap(name, of, groups=groups, split=split) for name, of in scores.items()]


def validated_operating_points(
    model: EvaluatedModel,
    recipe: Recipe,
    dataset: DataSet,
    parts: Mapping[Split, Sequence[Example]],
    outcomes: BinaryOutcomes,
    data: PreparedDataset,
    *,
    split: Split,
) -> list[OperatingPoint]:
    """Computes the operating points: thresholds chosen on validation, scored on this split; none for masks."""
    if not outcomes or not parts.get("validation"):
        return []
    validation_data, probabilities = predict_examples(model, recipe, dataset, parts["validation"])
    validation = binary_outcomes(recipe, dataset.classes, probabilities, validation_data.truths)
    groups = np.array([example.group for example in data.examples])
    return operating_points(validation, outcomes, groups=groups, split=split)


def image_kind(example: Example) -> str:
    """Returns the first word of the stratum, such as dark or bright."""
    return example.stratum.partition(" ")[0]


def below_minimum(recipe: Recipe, figures: list[Figure]) -> list[str]:
    """Returns a sentence for each figure below the recipe's minimum."""
    values = {figure.metric: figure.value for figure in figures}
    return [
        f"{metric} is {values.get(metric, float('nan')):.4f}; {recipe.name} must reach {minimum}."
        for metric, minimum in recipe.reach.items()
        if not values.get(metric, float("nan")) >= minimum
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a run's best.pt or a package folder")
    parser.add_argument("--recipe", type=Path, help="for a package: the recipe with its data and split")
    parser.add_argument("--data", type=Path, help="path of the data, instead of the recipe's")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"], help="default: test")
    parser.add_argument("--by", action="append", default=[], help="column whose values form subgroups; repeatable")
    parser.add_argument("--out", type=Path, help="folder for the report (default: beside the checkpoint)")
    args = parser.parse_args()
    if args.model.is_dir() and not args.recipe:
        parser.error("a package needs --recipe for its data and split")
    return args


def load_model(args: argparse.Namespace) -> tuple[EvaluatedModel, Recipe]:
    """Loads the model and the recipe with its data."""
    if args.model.is_dir():
        return model_from_package(args.model), read_recipe(args.recipe, data=args.data)
    model, chosen = model_from_checkpoint(
        args.model, device=torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )
    path = {"path": args.data} if args.data else {}
    return model, chosen.model_copy(update={"data": chosen.data.model_copy(update=path)})


if __name__ == "__main__":
    args = arguments()
    with exit_on_user_error():
        model, chosen = load_model(args)
        folder = args.out or (Path("runs") / chosen.name if args.model.is_dir() else args.model.parent)
        result = main(model, chosen, split=args.split, out=folder, by=args.by)
    for figure in result:
        print(f"{figure.metric:16} {figure.value:.4f}  [{figure.low:.4f}, {figure.high:.4f}]  n = {figure.n}")
    if args.split == "test" and (below := below_minimum(chosen, result)):
        sys.exit("\n".join(below))
