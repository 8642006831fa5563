"""What moves while training, and how it moves: an epoch's batches, each a step of the optimizer."""

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
from training.build import Normalised
from training.config import Recipe, TrainingConfig
from training.data.prepared import Prepared, draws
from training.freezing import freeze, frozen
from training.losses import EveryHead
from training.parallel import Team
from training.tasks import TASKS

MOVING = ("network", "average", "optimizer", "scheduler", "scaler")


class Loop:
    """Everything that moves while training: the weights and their average, optimizer, schedule, gradient scale."""

    def __init__(self, network: Normalised, recipe: Recipe, *, team: Team, truths: Sequence[Array]) -> None:
        config, device = recipe.training, team.device
        self.config, self.team = config, team
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average), use_buffers=True)
        auxiliary = getattr(network.body, "auxiliary_weight", 0.0)
        self.loss = EveryHead(TASKS[recipe.task].loss(config, truths), weight=auxiliary).to(device)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.scheduler = schedule(self.optimizer, config, examples=len(truths))
        self.autocast = torch.autocast(device.type, **precision(config, device))
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")

    @property
    def kept(self) -> nn.Module:
        """The averaged network, without its normalisation: what is validated and exported."""
        return self.average.module.body

    def epoch(self, train: Prepared, *, number: int) -> float:
        """Trains on each batch once; returns the mean loss."""
        config, team = self.config, self.team
        order = draws(train.examples, epoch=number, seed=config.seed, balance=config.balance)
        shares = team.shares(order, batch_size=config.batch_size, accumulate=config.accumulate)
        batches = DataLoader(train, batch_sampler=[share.draws for share in shares], num_workers=config.workers)
        # Dropout too is a function of the epoch's number, and of the process's.
        torch.manual_seed(config.seed * 100_003 + number + team.rank * 10_000_019)
        freeze(self.network.body, frozen(config, number))
        network = team.joined(self.network)  # anew, since what is frozen may have changed
        total = 0.0
        for share, (images, targets) in zip(shares, bar := tqdm(batches, desc=f"epoch {number + 1}", disable=None)):
            with team.exchange(network, now=share.ends):
                loss = self.loss_of(network, images, targets) * share.weight
                self.scaler.scale(loss * team.size).backward()  # of which the processes' mean is taken
            total += loss.item()
            bar.set_postfix(loss=f"{loss.item():.4f}")
            if share.ends:
                self.step()
        return team.total(total) / sum(share.ends for share in shares)

    def loss_of(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        with self.autocast:
            logits = network(images.to(self.team.device, memory_format=torch.channels_last))
        if targets.ndim == 4:  # valid convolutions answer for the middle alone
            targets = trim(targets, (targets.shape[2] - logits.shape[2]) // 2)
        return self.loss(logits, targets.to(self.team.device))

    def step(self) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.scheduler.step()
        self.average.update_parameters(self.network)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in MOVING}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in MOVING:
            getattr(self, name).load_state_dict(state[name])


def schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig, *, examples: int) -> LRScheduler:
    steps = config.epochs * -(-examples // (config.batch_size * config.accumulate))
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
