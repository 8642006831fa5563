"""Trains a network from a recipe: python -m training.train training/recipes/digits.toml

recipe -> data -> network -> loop -> checkpoint. `--resume` goes on where a run was stopped, bit for bit. In several
processes, a GPU each: torchrun --nproc-per-node 4 -m -- training.train ...; only the first validates and writes.
"""

import argparse
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from training import checkpoint, parallel
from training.audit.check import Passed, divided, passed, too_large
from training.audit.finding import ALLOWABLE
from training.augment import augmentation
from training.build import build, geometry_of
from training.config import Recipe, TrainingConfig, read_recipe
from training.data.examples import DataError
from training.data.prepared import Prepared
from training.data.split import digest, split_digest
from training.geometry import sees_whole_map
from training.loop import Loop
from training.mistakes import RecipeError, told
from training.predict import Predictor
from training.provenance import intensity_statistics, sample_images
from training.resuming import still_the_same
from training.task import Decision, activate
from training.tasks import TASKS
from training.weights import start_from


def main(
    recipe: Recipe, *, run: Path, resume: bool = False, weights: Path | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Trains, and leaves run/last.pt to resume from and run/best.pt to export; returns what is in the latter.

    weights: a file of weights to start from, as training.weights reads it.
    """
    run.mkdir(parents=True, exist_ok=True)
    team = parallel.join(device)
    config, task = recipe.training, TASKS[recipe.task]

    state = checkpoint.load(run / checkpoint.LAST) if resume else {}
    train, validation, about = read_data(recipe, team=team, before=state.get("about"))
    torch.manual_seed(config.seed)
    network = build(recipe, classes=len(about["classes"])).to(team.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if weights and team.leads:  # the others have them from the first exchange
        about["started_from"] = start_from(weights, network.body, run=run)
    geometry = geometry_of(recipe, network)
    about["geometry"] = asdict(geometry)
    network.body = team.synchronised(network.body)
    if team.leads:
        whole = None if sees_whole_map(network.body) else recipe.input.size
        print(too_large(about["object_side_px"], geometry.receptive_field, size=whole), end="")
    loop = Loop(network, recipe, team=team, truths=train.truths)
    predictor = Predictor(loop.average, team.device, None if recipe.input.size else geometry)
    progress: dict[str, Any] = {"epoch": 0, "best": -np.inf, "best_epoch": 0}
    if resume:
        progress = state["progress"]
        loop.load_state_dict(state["loop"])

    with closing(SummaryWriter(str(run))) if team.leads else nullcontext() as board:
        while progress["epoch"] < config.epochs and not stopped(progress, config):
            loss = loop.epoch(train, number=progress["epoch"])
            progress["epoch"] += 1
            if board:
                with loop.autocast:
                    scores = validate(recipe, predictor, validation)
                report(board, progress, {"loss": loss, **scores})
                if scores[task.headline] > progress["best"]:
                    progress |= {"best": scores[task.headline], "best_epoch": progress["epoch"]}
                    checkpoint.save(run, checkpoint.BEST, about | {"weights": loop.kept.state_dict()})
                checkpoint.save(run, checkpoint.LAST, {"loop": loop.state_dict(), "progress": progress, "about": about})
            progress = team.told(progress)
    if not team.leads:
        return {"progress": progress}

    # What the validation split decides is chosen once more, in float32, on the weights that are kept.
    best = checkpoint.load(run / checkpoint.BEST)
    loop.kept.load_state_dict(best["weights"])
    decision = task.decide(predictor.all(validation.inputs), validation.truths)
    print(f"best epoch {progress['best_epoch']}: {task.headline} {progress['best']:.4f}; {decision}")
    best |= {"progress": progress, "decision": asdict(decision)}
    checkpoint.save(run, checkpoint.BEST, best)
    return best


def read_data(
    recipe: Recipe, *, team: parallel.Team, before: dict[str, Any] | None
) -> tuple[Prepared, Prepared, dict[str, Any]]:
    """Training and validation examples, all read, and what the package will say of them.

    before: what this returned when a run that is resumed began; its audit then stands. Raises DataError where the data
    are no longer the same.
    """
    data, task = recipe.dataset(), TASKS[recipe.task]
    if before is None and team.leads:
        audit = passed(recipe, data)
    else:  # was looked at when the run began, or is by the first process
        audit = Passed(divided(recipe, data), {}, None)
    parts = audit.parts
    if not parts.get("train") or not parts.get("validation"):
        raise DataError("The split leaves no example to train or none to validate on.")
    weights = recipe.training.class_weights
    if isinstance(weights, tuple) and len(weights) != len(data.classes):
        raise RecipeError(f"training.class_weights: {len(weights)} of them for the {len(data.classes)} classes.")
    train, validation = (
        Prepared(parts[split], config=recipe.input, task=task, classes=len(data.classes))
        for split in ("train", "validation")
    )
    maps = recipe.input.size is None
    train.augment = augmentation(
        recipe.augment, keys=("image", "target") if maps else ("image",), size=recipe.input.size
    )
    about = {
        "recipe": recipe.model_dump(mode="json"),
        "classes": list(data.classes),
        "split_sha256": split_digest(parts),
        "data_sha256": digest(train.sha256),
        "validation_sha256": digest(validation.sha256),
        "intensity": intensity_statistics(train.intensity),
        "samples": sample_images(parts["validation"], count=4),
        "allowed": audit.allowed,
        "object_side_px": audit.object_side_px,
    }
    if before is not None:
        still_the_same(before, about)
    return train, validation, before or about


def validate(recipe: Recipe, predictor: Predictor, validation: Prepared) -> dict[str, float]:
    """The task's scores on the validation split, every threshold at one half."""
    task = TASKS[recipe.task]
    logits = [torch.from_numpy(z)[None] for z in predictor.all(validation.inputs)]
    probabilities = [activate(z, task.activation)[0].numpy() for z in logits]
    decision = Decision(thresholds=(0.5,) * (probabilities[0].shape[0] - len(task.auxiliary)))
    scores = task.scores(probabilities, validation.truths, decision)
    return {name: score(np.arange(len(validation))) for name, score in scores.items()}


def report(board: SummaryWriter, progress: dict[str, Any], scalars: dict[str, float]) -> None:
    for name, value in scalars.items():
        board.add_scalar(name, value, progress["epoch"])
    print(
        f"epoch {progress['epoch']}: " + " ".join(f"{name} {value:.4f}" for name, value in scalars.items()), flush=True
    )


def stopped(progress: dict[str, Any], config: TrainingConfig) -> bool:
    """Whether `patience` epochs have passed without a better validation score."""
    return bool(config.patience) and progress["epoch"] - progress["best_epoch"] >= config.patience


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, help="where the data is, in place of the recipe's path")
    parser.add_argument("--run", type=Path, help="folder of checkpoints and curves; default runs/<recipe>")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    start.add_argument("--weights", type=Path, help="to start from: torchvision's, CheXNet's, a run's best.pt")
    parser.add_argument("--seed", type=int, help="in place of the recipe's seed")
    parser.add_argument("--fold", type=int, help="of a cross-validation, which is the test; the run is <recipe>-<fold>")
    parser.add_argument(
        "--allow", nargs="+", default=[], choices=ALLOWABLE, metavar="NAME", help="findings of the audit"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    try:
        with told():
            chosen = read_recipe(args.recipe, data=args.data, seed=args.seed, fold=args.fold).allowing(args.allow)
            folder = args.run or Path("runs") / (chosen.name if args.fold is None else f"{chosen.name}-{args.fold}")
            main(chosen, run=folder, resume=args.resume, weights=args.weights, device=args.device)
    finally:
        parallel.leave()
