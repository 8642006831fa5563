"""Transfer: parts of a network keep the weights they start with, for some epochs or for all."""

from torch import nn

from training.config import TrainingConfig
from training.mistakes import RecipeError


def frozen(config: TrainingConfig, epoch: int) -> tuple[str, ...]:
    """The parts that do not train in this epoch, counted from 0."""
    return () if config.thaw_at is not None and epoch >= config.thaw_at else config.freeze


def freeze(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Has these submodules keep their weights, and their batch normalisation its statistics; all others train.

    What gets no gradient is left alone by the optimizer, weight decay included. Raises ValueError for a part there is
    not.
    """
    known = dict(network.named_modules())
    for part in parts:
        if part not in known:
            raise RecipeError(
                f"The network has no part {part!r} to freeze; it has {[*dict(network.named_children())]}."
            )
    network.requires_grad_(True).train()
    for part in parts:
        known[part].requires_grad_(False).eval()
