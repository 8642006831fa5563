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
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training import checkpoint
from training.augment import augmentation
from training.build import build, geometry_of
from training.config import Recipe, TrainingConfig, read_recipe
from training.data.examples import DataError
from training.data.prepared import Prepared, draws
from training.data.split import divide, split_digest
from training.predict import Predictor
from training.provenance import data_digest, intensity_statistics, sample_images
from training.tasks import TASKS, Decision, activate


def main(recipe: Recipe, *, run: Path, resume: bool = False, device: str = "auto") -> dict[str, Any]:
    """Trains, and leaves run/last.pt to resume from and run/best.pt to export; returns what is in the latter."""
    run.mkdir(parents=True, exist_ok=True)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    config, task = recipe.training, TASKS[recipe.task]

    train, validation, about = read_data(recipe)
    torch.manual_seed(config.seed)
    network = build(recipe, classes=len(about["classes"])).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    geometry = geometry_of(recipe, network)
    about["geometry"] = asdict(geometry)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average), use_buffers=True)
    predictor = Predictor(average, where, None if recipe.input.size else geometry)
    loss_function = task.loss(config).to(where)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    scheduler = schedule(optimizer, config, examples=len(train))
    autocast = torch.autocast(where.type, **precision(config, where))
    scaler = torch.amp.GradScaler(where.type, enabled=config.precision == "float16")
    moving = {"network": network, "average": average, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}

    progress: dict[str, Any] = {"epoch": 0, "best": -np.inf, "best_epoch": 0}
    if resume:
        state = checkpoint.load(run / checkpoint.LAST)
        progress = state["progress"]
        for name, part in moving.items():
            part.load_state_dict(state[name])

    with closing(SummaryWriter(str(run))) as board:
        while progress["epoch"] < config.epochs and not stopped(progress, config):
            epoch = progress["epoch"]
            torch.manual_seed(config.seed * 100_003 + epoch)  # dropout too is a function of the epoch's number
            order = draws(train.examples, epoch=epoch, seed=config.seed, balance=config.balance)
            batches = DataLoader(train, config.batch_size, sampler=order, num_workers=config.workers)
            network.train()
            losses = []
            for images, targets in (bar := tqdm(batches, desc=f"epoch {epoch + 1}/{config.epochs}", disable=None)):
                with autocast:
                    logits = network(images.to(where, memory_format=torch.channels_last))
                loss = loss_function(logits.float(), targets.to(where))
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                scheduler.step()
                average.update_parameters(network)
                losses.append(loss.item())
                bar.set_postfix(loss=f"{losses[-1]:.4f}", best=f"{progress['best']:.4f}")

            with autocast:
                scores = validate(recipe, predictor, validation)
            progress["epoch"] = epoch + 1
            report(board, progress, {"loss": float(np.mean(losses)), **scores})
            if scores[task.headline] > progress["best"]:
                progress |= {"best": scores[task.headline], "best_epoch": epoch + 1}
                checkpoint.save(run, checkpoint.BEST, about | {"weights": average.module.body.state_dict()})
            states = {name: part.state_dict() for name, part in moving.items()}
            checkpoint.save(run, checkpoint.LAST, states | {"progress": progress})

    # What the validation split decides is chosen once more, in float32, on the weights that are kept.
    best = checkpoint.load(run / checkpoint.BEST)
    average.module.body.load_state_dict(best["weights"])
    decision = task.decide(predictor.all(validation.inputs), validation.truths)
    print(f"best epoch {progress['best_epoch']}: {task.headline} {progress['best']:.4f}; {decision}")
    best |= {"progress": progress, "decision": asdict(decision)}
    checkpoint.save(run, checkpoint.BEST, best)
    return best


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
        "intensity": intensity_statistics(train),
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
        return OneCycleLR(optimizer, config.learning_rate, total_steps=steps, pct_start=0.2)
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
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    chosen = read_recipe(args.recipe, data=args.data)
    main(chosen, run=args.run or Path("runs") / chosen.name, resume=args.resume, device=args.device)
