"""What is minimised; each takes logits and a target and gives a scalar."""

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F


class CrossEntropy(nn.Module):
    """Softmax cross-entropy with class weights and label smoothing (Szegedy 2016).

    logits (N, C), target (N,) int64.
    """

    def __init__(self, *, weights: tuple[float, ...] | None = None, smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights) if weights else None)
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, weight=self.weights, label_smoothing=self.smoothing)


class BinaryCrossEntropy(nn.Module):
    """Sigmoid cross-entropy for labels that may occur together; `weights` multiply the positive term of each.

    logits and target (N, C) float.
    """

    def __init__(self, *, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights) if weights else None)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weights)


class DiceCrossEntropy(nn.Module):
    """Soft Dice (Milletari 2016) plus softmax cross-entropy, for regions that exclude one another.

    logits (N, C, H, W), target (N, C, H, W) float: each pixel's share of each class.
    """

    def __init__(self, *, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights) if weights else None)
        self.dice = DiceLoss(softmax=True, batch=True)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.dice(logits, target) + F.cross_entropy(logits, target, weight=self.weights)


class ObjectMaps(nn.Module):
    """For separate objects: Dice plus sigmoid cross-entropy on the foreground, cross-entropy on the core map.

    logits and target (N, 2, H, W) float in [0, 1]: foreground, and each object's normalised distance to its outline.
    """

    def __init__(self, *, core_weight: float = 2.0) -> None:
        super().__init__()
        self.dice = DiceLoss(sigmoid=True, batch=True)
        self.core_weight = core_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        foreground = self.dice(logits[:, :1], target[:, :1])
        foreground = foreground + F.binary_cross_entropy_with_logits(logits[:, 0], target[:, 0])
        return foreground + self.core_weight * F.binary_cross_entropy_with_logits(logits[:, 1], target[:, 1])
