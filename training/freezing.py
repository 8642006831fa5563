"""Frozen layers: parts of a network that keep their initial weights, for some epochs or for all."""

from torch import nn

from training.config import TrainingConfig
from training.user_errors import RecipeError


def frozen_parts(config: TrainingConfig, epoch: int) -> tuple[str, ...]:
    """Returns the parts that do not train in this epoch; epochs count from 0."""
    return () if config.thaw_at is not None and epoch >= config.thaw_at else config.freeze


def freeze(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Freezes the weights and batch-normalisation statistics of these submodules; all others train.

    The optimizer ignores parameters without a gradient, weight decay included. Raises RecipeError for an unknown part.
    """
    modules = dict(network.named_modules())
    for part in parts:
        if part not in modules:
            raise RecipeError(
                f"The network has no part {part!r} to freeze; it has {[*dict(network.named_children())]}."
            )
    network.requires_grad_(True).train()
    for part in parts:
        modules[part].requires_grad_(False).eval()
