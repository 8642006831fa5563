"""Training loop: epochs of optimizer steps, and the state that a checkpoint keeps."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from models.architectures.unet import trim
from models.image import Array
from training.auxiliary_heads import AuxiliaryHeadsLoss
from training.build import Normalised
from training.config import Recipe, TrainingConfig
from training.distributed import ProcessGroup
from training.freezing import freeze, frozen_parts
from training.prepared_dataset import PreparedDataset, draws
from training.tasks import TASKS

STATE = ("network", "average", "optimizer", "scheduler", "scaler")


class Loop:
    """State that changes in training: weights and their moving average, optimizer, schedule, gradient scale."""

    def __init__(self, network: Normalised, recipe: Recipe, *, team: ProcessGroup, truths: Sequence[Array]) -> None:
        config, device = recipe.training, team.device
        self.config, self.team = config, team
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average), use_buffers=True)
        auxiliary = getattr(network.body, "auxiliary_weight", 0.0)
        self.loss = AuxiliaryHeadsLoss(TASKS[recipe.task].loss(config, truths), weight=auxiliary).to(device)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.scheduler = schedule(self.optimizer, config, examples=len(truths))
        self.autocast = torch.autocast(device.type, **precision(config, device))
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")

    @property
    def averaged_body(self) -> nn.Module:
        """The averaged network without its normalisation, which is validated and exported."""
        body: nn.Module = self.average.module.get_submodule("body")
        return body

    def epoch(self, train: PreparedDataset, *, number: int) -> float:
        """Trains on each batch once; returns the mean loss."""
        config, team = self.config, self.team
        order = draws(train.examples, epoch=number, seed=config.seed, balance=config.balance)
        batch_shares = team.batch_shares(order, batch_size=config.batch_size, accumulate=config.accumulate)
        batches = DataLoader(train, batch_sampler=[share.draws for share in batch_shares], num_workers=config.workers)
        # Makes dropout a function of the epoch and the process.
        torch.manual_seed(config.seed * 100_003 + number + team.rank * 10_000_019)
        freeze(self.network.body, frozen_parts(config, number))
        network = team.wrap(self.network)  # in every epoch, because the frozen parts may have changed
        total = 0.0
        for share, (images, targets) in zip(
            batch_shares, bar := tqdm(batches, desc=f"epoch {number + 1}", disable=None)
        ):
            with team.gradient_exchange(network, now=share.completes):
                loss = self.batch_loss(network, images, targets) * share.weight
                self.scaler.scale(loss * team.size).backward()  # the exchange averages over processes
            total += loss.item()
            bar.set_postfix(loss=f"{loss.item():.4f}")
            if share.completes:
                self.step()
        return team.total(total) / sum(share.completes for share in batch_shares)

    def batch_loss(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        with self.autocast:
            logits = network(images.to(self.team.device, memory_format=torch.channels_last))
        if targets.ndim == 4:  # valid convolutions lose the border
            targets = trim(targets, (targets.shape[2] - logits.shape[2]) // 2)
        loss: Tensor = self.loss(logits, targets.to(self.team.device))
        return loss

    def step(self) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.scheduler.step()
        self.average.update_parameters(self.network)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in STATE:
            getattr(self, name).load_state_dict(state[name])


def schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig, *, examples: int) -> LRScheduler:
    steps = config.epochs * -(-examples // (config.batch_size * config.accumulate))
    if config.schedule == "one_cycle":
        # With fewer than ten steps, torch's warm-up of a fifth has length 0 and divides by it.
        return OneCycleLR(optimizer, config.learning_rate, total_steps=max(10, steps), pct_start=0.2)
    return CosineAnnealingLR(optimizer, T_max=steps)


def precision(config: TrainingConfig, device: torch.device) -> dict[str, Any]:
    """Returns torch.autocast's arguments; without native bfloat16 arithmetic, emulation would be slow."""
    if config.precision in ("bfloat16", "float16"):
        return {"dtype": getattr(torch, config.precision)}
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return {"dtype": torch.bfloat16, "enabled": config.precision == "auto" and native}
