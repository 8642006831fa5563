"""Losses (logits and a target -> a scalar), and each task's choice among them."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from models.image import Array
from training.config import TrainingConfig


def multiclass_loss(config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
    """Returns cross-entropy or focal loss; class_weights "balanced" gives every class the same total weight."""
    weights = config.class_weights
    if weights == "balanced":
        weights = balanced_weights(np.bincount(truths))
    if config.focal_gamma:
        return Focal(gamma=config.focal_gamma, weights=weights)
    return CrossEntropy(weights=weights, smoothing=config.label_smoothing)


def multilabel_loss(config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
    """Returns binary cross-entropy or focal loss; class_weights "balanced" is CheXNet's weighted loss."""
    weights = config.class_weights
    if weights == "balanced":
        return BalancedBinaryCrossEntropy(prevalence=tuple(np.mean(truths, axis=0).tolist()))
    if config.focal_gamma:
        return BinaryFocal(gamma=config.focal_gamma, weights=weights)
    return BinaryCrossEntropy(weights=weights)


def semantic_loss(config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
    return DiceCrossEntropy(weights=config.explicit_class_weights)


def multilabel_semantic_loss(config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
    return DiceBinaryCrossEntropy(weights=config.explicit_class_weights)


def boundaries_loss(config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
    """Returns U-Net's weighted loss; class_weights "balanced" gives every class the same total weight w_c."""
    weights = config.class_weights
    if weights == "balanced":
        classes = max(int(truth.max()) for truth in truths) + 1
        weights = balanced_weights(np.sum([np.bincount(truth.ravel(), minlength=classes) for truth in truths], axis=0))
    return BorderCrossEntropy(weights=weights)


def instance_loss(config: TrainingConfig, truths: Sequence[Array]) -> nn.Module:
    return InstanceLoss()


def balanced_weights(counts: Array) -> tuple[float, ...]:
    """Computes the weights that give every class the same total; counts: of each class, (C,) integers."""
    return tuple((counts.sum() / (len(counts) * counts)).tolist())


class CrossEntropy(nn.Module):
    """Softmax cross-entropy with class weights and label smoothing (Szegedy 2016).

    logits (N, C), target (N,) int64.
    """

    weights: Tensor | None

    def __init__(self, *, weights: tuple[float, ...] | None = None, smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights) if weights else None)
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, weight=self.weights, label_smoothing=self.smoothing)


class BinaryCrossEntropy(nn.Module):
    """Sigmoid cross-entropy for labels that may occur together; `weights` multiply each label's positive term.

    logits and target (N, C) float.
    """

    weights: Tensor | None

    def __init__(self, *, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights) if weights else None)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weights)


class BalancedBinaryCrossEntropy(nn.Module):
    """CheXNet's weighted loss (Rajpurkar 2017), summed over the labels: -w+ y log p - w- (1 - y) log(1 - p).

    w+ = |N| / (|P| + |N|) and w- = |P| / (|P| + |N|), with |P| and |N| the training images with and without the label;
    prevalence: |P| / (|P| + |N|) of each. logits and target (N, C) float.
    """

    prevalence: Tensor

    def __init__(self, *, prevalence: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("prevalence", torch.tensor(prevalence))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        weight = target * (1 - self.prevalence) + (1 - target) * self.prevalence  # (N, C)
        entropy = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none")
        return entropy.sum(dim=1).mean()


class Focal(nn.Module):
    """Focal loss for one class of several: -w (1 - p)^gamma log p of the true class (Lin 2017).

    weights: the paper's alpha, for each class. As in the paper, the mean is over the images.
    logits (N, C), target (N,) int64.
    """

    weights: Tensor | None

    def __init__(self, *, gamma: float, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", torch.tensor(weights) if weights else None)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = logits.log_softmax(dim=1)
        true = log_p.gather(1, target[:, None]).squeeze(1)  # (N,)
        weighted = F.nll_loss(log_p, target, weight=self.weights, reduction="none")
        return ((1 - true.exp()) ** self.gamma * weighted).mean()


class BinaryFocal(nn.Module):
    """Focal loss for labels that may occur together (Lin 2017): the mean over images and labels.

    weights: multiply each label's positive term. logits and target (N, C) float.
    """

    weights: Tensor | None

    def __init__(self, *, gamma: float, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", torch.tensor(weights) if weights else None)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=self.weights)
        wrong = (target - logits.sigmoid()).abs()  # (N, C): 1 - the probability of the true answer
        return (wrong**self.gamma * entropy).mean()


class DiceCrossEntropy(nn.Module):
    """Soft Dice (Milletari 2016) plus softmax cross-entropy, for classes that exclude one another.

    logits (N, C, H, W), target (N, C, H, W) float: each pixel's fraction of each class.
    """

    weights: Tensor | None

    def __init__(self, *, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights) if weights else None)
        self.dice = DiceLoss(softmax=True, batch=True)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.dice(logits, target) + F.cross_entropy(logits, target, weight=self.weights)


class DiceBinaryCrossEntropy(nn.Module):
    """Soft Dice (Milletari 2016) plus sigmoid cross-entropy, for classes that may overlap.

    weights multiply the positive term of each class. logits and target (N, C, H, W) float.
    """

    weights: Tensor | None

    def __init__(self, *, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights)[:, None, None] if weights else None)
        self.dice = DiceLoss(sigmoid=True, batch=True)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.dice(logits, target) + F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weights)


class BorderCrossEntropy(nn.Module):
    """U-Net's loss: softmax cross-entropy times the sum of class weight w_c and border weight (Ronneberger 2015).

    weights: w_c, 1 by default. logits (N, C, H, W); target (N, C + 1, H, W) float: each pixel's fraction of each class,
    then the border weight. The mean over pixels; the paper sums.
    """

    weights: Tensor | None

    def __init__(self, *, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights)[:, None, None] if weights else None)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        classes, border = target[:, :-1], target[:, -1]
        weighted = classes if self.weights is None else classes * self.weights
        weight = weighted.sum(dim=1) + border  # (N, H, W)
        return (weight * F.cross_entropy(logits, classes, reduction="none")).mean()


class InstanceLoss(nn.Module):
    """Loss of separate objects: Dice plus cross-entropy on the foreground, cross-entropy on the core map.

    logits (N, 2, H, W); target (N, 3, H, W) float: foreground; normalised distance to the object's outline, in [0, 1];
    weight of the pixel's cross-entropies, larger between objects (as in Ronneberger 2015).
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
