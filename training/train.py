"""Training of a network from a recipe.

python -m training.train training/recipes/digits.toml

recipe -> data -> network -> loop -> checkpoint. --resume continues a stopped run, bit for bit. One process per GPU:
torchrun --nproc-per-node 4 -m -- training.train ...; only the first process validates and writes.
"""

import argparse
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from training import checkpoint, distributed
from training.audit.data_audit import AuditedData, audit_data, object_size_warning, recipe_split
from training.augmentation import augmentation
from training.build import build, geometry_of
from training.config import Recipe, TrainingConfig, read_recipe
from training.data.examples import DataError
from training.data.split import digest, split_digest
from training.data_statistics import intensity_statistics, sample_images
from training.findings import ALLOWABLE
from training.image_inference import ImageInference
from training.loop import Loop
from training.network_geometry import head_sees_whole_map
from training.prepared_dataset import PreparedDataset
from training.pretrained_weights import load_pretrained
from training.resume import check_unchanged
from training.tasks import TASKS
from training.tasks.training_task import Decision, activate
from training.user_errors import RecipeError, exit_on_user_error


def main(
    recipe: Recipe, *, run: Path, resume: bool = False, weights: Path | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Trains; writes run/last.pt to resume from and run/best.pt to export, and returns the latter.

    weights: file of pretrained weights, as training.pretrained_weights reads it.
    """
    run.mkdir(parents=True, exist_ok=True)
    team = distributed.join(device)
    config, task = recipe.training, TASKS[recipe.task]

    state = checkpoint.load(run / checkpoint.LAST) if resume else {}
    train, validation, description = read_data(recipe, team=team, before=state.get("about"))
    torch.manual_seed(config.seed)
    network = build(recipe, classes=len(description["classes"])).to(team.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if weights and team.is_main:  # other processes receive them at the first exchange
        description["started_from"] = load_pretrained(weights, network.body, run=run)
    geometry = geometry_of(recipe, network)
    description["geometry"] = asdict(geometry)
    network.body = team.with_synchronised_norm(network.body)
    if team.is_main:
        object_size = None if head_sees_whole_map(network.body) else recipe.input.size
        print(object_size_warning(description["object_side_px"], geometry.receptive_field, size=object_size), end="")
    loop = Loop(network, recipe, team=team, truths=train.truths)
    predictor = ImageInference(loop.average, team.device, None if recipe.input.size else geometry)
    progress: dict[str, Any] = {"epoch": 0, "best": -np.inf, "best_epoch": 0}
    if resume:
        progress = state["progress"]
        loop.load_state_dict(state["loop"])

    with closing(SummaryWriter(str(run))) if team.is_main else nullcontext() as board:
        while progress["epoch"] < config.epochs and not patience_exhausted(progress, config):
            loss = loop.epoch(train, number=progress["epoch"])
            progress["epoch"] += 1
            if board:
                with loop.autocast:
                    scores = validate(recipe, predictor, validation)
                log_epoch(board, progress, {"loss": loss, **scores})
                if scores[task.headline] > progress["best"]:
                    progress |= {"best": scores[task.headline], "best_epoch": progress["epoch"]}
                    checkpoint.save(run, checkpoint.BEST, description | {"weights": loop.averaged_body.state_dict()})
                checkpoint.save(
                    run, checkpoint.LAST, {"loop": loop.state_dict(), "progress": progress, "about": description}
                )
            progress = team.broadcast(progress)
    if not team.is_main:
        return {"progress": progress}

    # The decision rule is chosen in float32, on the best weights.
    best = checkpoint.load(run / checkpoint.BEST)
    loop.averaged_body.load_state_dict(best["weights"])
    decision = task.decide(predictor.all(validation.inputs), validation.truths)
    print(f"best epoch {progress['best_epoch']}: {task.headline} {progress['best']:.4f}; {decision}")
    best |= {"progress": progress, "decision": asdict(decision)}
    checkpoint.save(run, checkpoint.BEST, best)
    return best


def read_data(
    recipe: Recipe, *, team: distributed.ProcessGroup, before: dict[str, Any] | None
) -> tuple[PreparedDataset, PreparedDataset, dict[str, Any]]:
    """Reads the training and validation examples, and describes them for the package.

    before: the description when a resumed run began, whose audit still holds. Raises DataError if the data changed.
    """
    data, task = recipe.dataset(), TASKS[recipe.task]
    if before is None and team.is_main:
        audit = audit_data(recipe, data)
    else:  # the audit ran when the run began, or runs in the first process
        audit = AuditedData(recipe_split(recipe, data), {}, None)
    parts = audit.parts
    if not parts.get("train") or not parts.get("validation"):
        raise DataError("The split leaves no examples for training or for validation.")
    weights = recipe.training.class_weights
    if isinstance(weights, tuple) and len(weights) != len(data.classes):
        raise RecipeError(f"training.class_weights: {len(weights)} weights for {len(data.classes)} classes.")
    train, validation = (
        PreparedDataset(parts[split], config=recipe.input, task=task, classes=len(data.classes))
        for split in ("train", "validation")
    )
    has_masks = recipe.input.size is None
    train.augment = augmentation(
        recipe.augment, keys=("image", "target") if has_masks else ("image",), size=recipe.input.size
    )
    description = {
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
        check_unchanged(before, description)
    return train, validation, before or description


def validate(recipe: Recipe, predictor: ImageInference, validation: PreparedDataset) -> dict[str, float]:
    """Computes the task's scores on the validation split, with all thresholds at 0.5."""
    task = TASKS[recipe.task]
    logits = [torch.from_numpy(z)[None] for z in predictor.all(validation.inputs)]
    probabilities = [activate(z, task.activation)[0].numpy() for z in logits]
    decision = Decision(thresholds=(0.5,) * (probabilities[0].shape[0] - len(task.auxiliary)))
    scores = task.scores(probabilities, validation.truths, decision)
    return {name: score(np.arange(len(validation))) for name, score in scores.items()}


def log_epoch(board: SummaryWriter, progress: dict[str, Any], scalars: dict[str, float]) -> None:
    for name, value in scalars.items():
        board.add_scalar(name, value, progress["epoch"])
    print(
        f"epoch {progress['epoch']}: " + " ".join(f"{name} {value:.4f}" for name, value in scalars.items()), flush=True
    )


def patience_exhausted(progress: dict[str, Any], config: TrainingConfig) -> bool:
    """Tells whether `patience` epochs have passed without a better validation score."""
    return bool(config.patience) and progress["epoch"] - progress["best_epoch"] >= config.patience


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path, help="recipe file")
    parser.add_argument("--data", type=Path, help="path of the data, instead of the recipe's")
    parser.add_argument("--run", type=Path, help="folder for checkpoints and curves (default: runs/<recipe>)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="continue from the last checkpoint of the run")
    start.add_argument("--weights", type=Path, help="pretrained weights: from torchvision, CheXNet, or a best.pt")
    parser.add_argument("--seed", type=int, help="seed, instead of the recipe's")
    parser.add_argument("--fold", type=int, help="test fold of a cross-validation; the run is <recipe>-<fold>")
    parser.add_argument(
        "--allow", nargs="+", default=[], choices=ALLOWABLE, metavar="NAME", help="audit findings to allow"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    try:
        with exit_on_user_error():
            chosen = read_recipe(args.recipe, data=args.data, seed=args.seed, fold=args.fold).allowing(args.allow)
            folder = args.run or Path("runs") / (chosen.name if args.fold is None else f"{chosen.name}-{args.fold}")
            main(chosen, run=folder, resume=args.resume, weights=args.weights, device=args.device)
    finally:
        distributed.leave()
