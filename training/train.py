"""Trains a network from a recipe: python -m training.train training/recipes/digits.toml

recipe -> data -> network -> loop -> checkpoint. `--resume` goes on where a run was stopped, bit for bit.
"""

import argparse
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from models.architectures.unet import trim
from training import checkpoint
from training.augment import augmentation
from training.build import Normalised, build, geometry_of
from training.config import Recipe, TrainingConfig, read_recipe
from training.data.examples import DataError
from training.data.prepared import Prepared, draws
from training.data.split import divide, split_digest
from training.predict import Predictor
from training.provenance import data_digest, intensity_statistics, sample_images
from training.tasks import TASKS, Decision, activate

MOVING = ("network", "average", "optimizer", "scheduler", "scaler")


def main(
    recipe: Recipe, *, run: Path, resume: bool = False, weights: Path | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Trains, and leaves run/last.pt to resume from and run/best.pt to export; returns what is in the latter.

    weights: another run's best.pt of the same network, to start from.
    """
    run.mkdir(parents=True, exist_ok=True)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    config, task = recipe.training, TASKS[recipe.task]

    train, validation, about = read_data(recipe)
    torch.manual_seed(config.seed)
    network = build(recipe, classes=len(about["classes"])).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if weights:
        network.body.load_state_dict(checkpoint.load(weights)["weights"])
    geometry = geometry_of(recipe, network)
    about["geometry"] = asdict(geometry)
    loop = Loop(network, recipe, device=where, examples=len(train))
    predictor = Predictor(loop.average, where, None if recipe.input.size else geometry)
    progress: dict[str, Any] = {"epoch": 0, "best": -np.inf, "best_epoch": 0}
    if resume:
        state = checkpoint.load(run / checkpoint.LAST)
        progress = state["progress"]
        loop.load_state_dict(state["loop"])

    with closing(SummaryWriter(str(run))) as board:
        while progress["epoch"] < config.epochs and not stopped(progress, config):
            order = draws(train.examples, epoch=progress["epoch"], seed=config.seed, balance=config.balance)
            batches = DataLoader(train, config.batch_size, sampler=order, num_workers=config.workers)
            loss = loop.epoch(batches, number=progress["epoch"])
            with loop.autocast:
                scores = validate(recipe, predictor, validation)
            progress["epoch"] += 1
            report(board, progress, {"loss": loss, **scores})
            if scores[task.headline] > progress["best"]:
                progress |= {"best": scores[task.headline], "best_epoch": progress["epoch"]}
                checkpoint.save(run, checkpoint.BEST, about | {"weights": loop.kept.state_dict()})
            checkpoint.save(run, checkpoint.LAST, {"loop": loop.state_dict(), "progress": progress})

    # What the validation split decides is chosen once more, in float32, on the weights that are kept.
    best = checkpoint.load(run / checkpoint.BEST)
    loop.kept.load_state_dict(best["weights"])
    decision = task.decide(predictor.all(validation.inputs), validation.truths)
    print(f"best epoch {progress['best_epoch']}: {task.headline} {progress['best']:.4f}; {decision}")
    best |= {"progress": progress, "decision": asdict(decision)}
    checkpoint.save(run, checkpoint.BEST, best)
    return best


class Loop:
    """Everything that moves while training: the weights and their average, optimizer, schedule, gradient scale."""

    def __init__(self, network: Normalised, recipe: Recipe, *, device: torch.device, examples: int) -> None:
        config = recipe.training
        self.device, self.seed, self.epochs = device, config.seed, config.epochs
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average), use_buffers=True)
        self.loss = TASKS[recipe.task].loss(config).to(device)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.scheduler = schedule(self.optimizer, config, examples=examples)
        self.autocast = torch.autocast(device.type, **precision(config, device))
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")

    @property
    def kept(self) -> nn.Module:
        """The averaged network, without its normalisation: what is validated and exported."""
        return self.average.module.body

    def epoch(self, batches: DataLoader[tuple[Tensor, Tensor]], *, number: int) -> float:
        """Trains on each batch once; returns the mean loss."""
        torch.manual_seed(self.seed * 100_003 + number)  # dropout too is a function of the epoch's number
        self.network.train()
        losses: list[float] = []
        for images, targets in (bar := tqdm(batches, desc=f"epoch {number + 1}/{self.epochs}", disable=None)):
            with self.autocast:
                logits = self.network(images.to(self.device, memory_format=torch.channels_last))
            if targets.ndim == 4:
                targets = trim(
                    targets, (targets.shape[2] - logits.shape[2]) // 2
                )  # valid convolutions answer for the middle alone
            loss = self.loss(logits.float(), targets.to(self.device))
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.scheduler.step()
            self.average.update_parameters(self.network)
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
        return float(np.mean(losses))

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in MOVING}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in MOVING:
            getattr(self, name).load_state_dict(state[name])


def read_data(recipe: Recipe) -> tuple[Prepared, Prepared, dict[str, Any]]:
    """Training and validation examples, all read, and what the package will say of them."""
    data, task = recipe.data.load(), TASKS[recipe.task]
    parts = divide(data, recipe.split)
    if not parts.get("train") or not parts.get("validation"):
        raise DataError("The split leaves no example to train or none to validate on.")
    train, validation = (
        Prepared(parts[split], config=recipe.input, task=task, classes=len(data.classes))
        for split in ("train", "validation")
    )
    maps = recipe.task in ("regions", "objects")
    train.augment = augmentation(recipe.augment, keys=("image", "target") if maps else ("image",))
    about = {
        "recipe": recipe.model_dump(mode="json"),
        "classes": list(data.classes),
        "split_sha256": split_digest(parts),
        "data_sha256": data_digest(train),
        "intensity": intensity_statistics(train.inputs),
        "samples": sample_images(parts["validation"], count=4),
    }
    return train, validation, about


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


def schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig, *, examples: int) -> LRScheduler:
    steps = config.epochs * -(-examples // config.batch_size)
    if config.schedule == "one_cycle":
        # In fewer than ten steps torch's warm-up of a fifth would have no length, and divide by it.
        return OneCycleLR(optimizer, config.learning_rate, total_steps=max(10, steps), pct_start=0.2)
    return CosineAnnealingLR(optimizer, T_max=steps)


def precision(config: TrainingConfig, device: torch.device) -> dict[str, Any]:
    """torch.autocast's arguments. On a processor without bfloat16 arithmetic it would be emulated, and slow."""
    if config.precision in ("bfloat16", "float16"):
        return {"dtype": getattr(torch, config.precision)}
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return {"dtype": torch.bfloat16, "enabled": config.precision == "auto" and native}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, help="where the data is, in place of the recipe's path")
    parser.add_argument("--run", type=Path, help="folder of checkpoints and curves; default runs/<recipe>")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    parser.add_argument("--seed", type=int, help="in place of the recipe's seed")
    parser.add_argument("--weights", type=Path, help="another run's best.pt to start from")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    chosen = read_recipe(args.recipe, data=args.data, seed=args.seed)
    folder = args.run or Path("runs") / chosen.name
    main(chosen, run=folder, resume=args.resume, weights=args.weights, device=args.device)
