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

    logits (N, 2, H, W); target (N, 3, H, W) float: foreground and each object's normalised distance to its outline, in
    [0, 1], and the weight of the pixel's cross-entropies (Ronneberger 2015 weights what separates objects likewise).
    """

    def __init__(self, *, core_weight: float = 2.0) -> None:
        super().__init__()
        self.dice = DiceLoss(sigmoid=True, batch=True)
        self.core_weight = core_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        maps, weight = target[:, :2], target[:, 2:]
        entropy = F.binary_cross_entropy_with_logits(logits, maps, reduction="none") * weight  # (N, 2, H, W)
        foreground, core = entropy.sum(dim=(0, 2, 3)) / weight.sum()
        return self.dice(logits[:, :1], maps[:, :1]) + foreground + self.core_weight * core
