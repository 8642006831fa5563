"""Distributed data-parallel training in processes that torchrun starts.

Each process trains on its share of every batch. torchrun passes ranks in environment variables; without them there is
one process, and this module does nothing.
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
TIMEOUT = timedelta(hours=2)  # while the first process validates, the others wait


@dataclass(frozen=True, slots=True)
class BatchShare(Generic[T]):
    """One process's part of a batch: its draws, their fraction of the batch, and whether they complete it."""

    draws: list[T]
    weight: float
    completes: bool


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes that train together. rank: number of this process; only the first, 0, validates and writes."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def batch_shares(self, draws: Sequence[T], *, batch_size: int, accumulate: int) -> list[BatchShare[T]]:
        """Returns this process's part of every batch of batch_size * accumulate draws, in `accumulate` pieces.

        The weighted sum of the pieces' losses over all processes is the batch's mean loss. If the last batch is too
        small for all, a piece is its first draw with weight 0, because every process must take part in every exchange.
        """
        whole, pieces = batch_size * accumulate, self.size * accumulate
        pieces_of_rank = []
        for start in range(0, len(draws), whole):
            batch = draws[start : start + whole]
            for number in range(self.rank * accumulate, (self.rank + 1) * accumulate):
                piece = list(batch[number * len(batch) // pieces : (number + 1) * len(batch) // pieces])
                completes = number % accumulate == accumulate - 1
                pieces_of_rank.append(BatchShare(piece or [batch[0]], len(piece) / len(batch), completes))
        return pieces_of_rank

    def with_synchronised_norm(self, network: nn.Module) -> nn.Module:
        """Converts batch normalisation to statistics over all processes, which torch supports only on GPUs."""
        everywhere = self.size > 1 and self.device.type == "cuda"
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network) if everywhere else network
        return converted

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wraps the network so that backward averages gradients over all processes."""
        return DistributedDataParallel(network) if self.size > 1 else network

    def gradient_exchange(self, network: nn.Module, *, now: bool) -> AbstractContextManager[None]:
        """Exchanges gradients in this forward and backward pass of a wrapped network, or accumulates them."""
        return nullcontext() if now or not isinstance(network, DistributedDataParallel) else network.no_sync()

    def total(self, value: float) -> float:
        """Sums a value over all processes."""
        if self.size == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(summed)
        return summed.item()

    def broadcast(self, value: T) -> T:
        """Returns the first process's value in every process."""
        if self.size == 1:
            return value
        boxed = [value]
        dist.broadcast_object_list(boxed, device=torch.device("cpu"))
        return boxed[0]


def join(device: str) -> ProcessGroup:
    """Joins the processes that torchrun started; each uses the GPU of its local rank."""
    size, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if size == 1:
        return ProcessGroup(torch.device(kind))
    place = torch.device(f"cuda:{local}" if kind == "cuda" else kind)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo", timeout=TIMEOUT)
    return ProcessGroup(place, dist.get_rank(), size)


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
