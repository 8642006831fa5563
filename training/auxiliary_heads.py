"""Loss of a network with auxiliary heads, built on any loss of its logits."""

from torch import Tensor, nn


class AuxiliaryHeadsLoss(nn.Module):
    """Loss of a network with auxiliary heads, each counted `weight` times (Szegedy 2015, section 5).

    outputs: logits, or in training a tuple of the logits and those of the auxiliary heads.
    """

    def __init__(self, loss: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.loss, self.weight = loss, weight

    def forward(self, outputs: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        total = self.loss(logits.float(), target)
        for inner in auxiliary:
            total = total + self.weight * self.loss(inner.float(), target)
        return total
