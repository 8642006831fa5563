"""One training in several processes, started by torchrun: each takes its share of every batch, all keep one network.

torchrun tells each process its rank by environment variables; without them there is one process, and nothing here acts.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
PATIENCE = timedelta(hours=2)  # while the first process validates, the others wait


@dataclass(frozen=True, slots=True)
class Share(Generic[T]):
    """What one process takes of a batch at once: its draws, how much of the batch they are, whether they end it."""

    draws: list[T]
    weight: float
    ends: bool


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train together. rank: this one's number; the first, 0, alone validates and writes."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def shares(self, draws: Sequence[T], *, batch_size: int, accumulate: int) -> list[Share[T]]:
        """This process's part of every batch of batch_size * accumulate draws, in `accumulate` pieces.

        The weighted sum of the pieces' losses, over all processes, is the batch's mean loss. Where the last batch has
        too few draws for all, a piece is its first draw with weight 0: every process takes part in every exchange.
        """
        whole, pieces = batch_size * accumulate, self.size * accumulate
        mine = []
        for start in range(0, len(draws), whole):
            batch = draws[start : start + whole]
            for number in range(self.rank * accumulate, (self.rank + 1) * accumulate):
                piece = list(batch[number * len(batch) // pieces : (number + 1) * len(batch) // pieces])
                ends = number % accumulate == accumulate - 1
                mine.append(Share(piece or [batch[0]], len(piece) / len(batch), ends))
        return mine

    def synchronised(self, network: nn.Module) -> nn.Module:
        """The network with batch normalisation over all processes, which torch has for GPUs alone."""
        together = self.size > 1 and self.device.type == "cuda"
        return nn.SyncBatchNorm.convert_sync_batchnorm(network) if together else network

    def joined(self, network: nn.Module) -> nn.Module:
        """The network, as it is to be run: backward then leaves every process with the mean of all gradients."""
        return DistributedDataParallel(network) if self.size > 1 else network

    def exchange(self, network: nn.Module, *, now: bool) -> AbstractContextManager[None]:
        """Around forward and backward of a joined network: whether gradients are exchanged or kept for the next."""
        waits = isinstance(network, DistributedDataParallel) and not now
        return network.no_sync() if waits else nullcontext()

    def total(self, value: float) -> float:
        """The sum over all processes."""
        if self.size == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(summed)
        return summed.item()

    def told(self, value: T) -> T:
        """What the first process has for a value."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, device=torch.device("cpu"))
        return box[0]


def join(device: str) -> Team:
    """This process's place among those that torchrun started; each takes the GPU of its local rank."""
    size, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if size == 1:
        return Team(torch.device(kind))
    where = torch.device(f"cuda:{local}" if kind == "cuda" else kind)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    dist.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo", timeout=PATIENCE)
    return Team(where, dist.get_rank(), size)


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
