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


class BalancedBinaryCrossEntropy(nn.Module):
    """CheXNet's weighted loss (Rajpurkar 2017), summed over the labels: -w+ y log p - w- (1 - y) log(1 - p).

    w+ = |N| / (|P| + |N|) and w- = |P| / (|P| + |N|), with |P| and |N| the training images with and without the label;
    share: |P| / (|P| + |N|) of each. logits and target (N, C) float.
    """

    def __init__(self, *, share: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("share", torch.tensor(share))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        weight = target * (1 - self.share) + (1 - target) * self.share  # (N, C)
        entropy = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none")
        return entropy.sum(dim=1).mean()


class Focal(nn.Module):
    """Focal loss for one class of several: -w (1 - p)^gamma log p of the true class (Lin 2017).

    weights: alpha of the paper, for each class; as there the mean is over the images. logits (N, C), target (N,) int64.
    """

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
    """Focal loss for labels that may occur together (Lin 2017): each label by itself, the mean over images and labels.

    weights multiply the positive term of each label. logits and target (N, C) float.
    """

    def __init__(self, *, gamma: float, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", torch.tensor(weights) if weights else None)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=self.weights)
        wrong = (target - logits.sigmoid()).abs()  # (N, C): 1 - the probability of what is true
        return (wrong**self.gamma * entropy).mean()


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


class DiceBinaryCrossEntropy(nn.Module):
    """Soft Dice (Milletari 2016) plus sigmoid cross-entropy, for regions that overlap; each class weighs alike.

    weights multiply the positive term of each class. logits and target (N, C, H, W) float.
    """

    def __init__(self, *, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights)[:, None, None] if weights else None)
        self.dice = DiceLoss(sigmoid=True, batch=True)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.dice(logits, target) + F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weights)


class BorderCrossEntropy(nn.Module):
    """U-Net's: softmax cross-entropy times w_c of the pixel's class plus the weight of the border (Ronneberger 2015).

    weights: w_c, 1 if not given. logits (N, C, H, W); target (N, C + 1, H, W) float: each pixel's share of each class,
    and the border's weight. The mean over pixels, where the paper has the sum.
    """

    def __init__(self, *, weights: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights)[:, None, None] if weights else None)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        share, border = target[:, :-1], target[:, -1]
        by_class = share if self.weights is None else share * self.weights
        weight = by_class.sum(dim=1) + border  # (N, H, W)
        return (weight * F.cross_entropy(logits, share, reduction="none")).mean()


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


class EveryHead(nn.Module):
    """The loss of a network's logits, plus `weight` times that of each auxiliary head's (Szegedy 2015, section 5).

    answer: logits, or the logits and those of the auxiliary heads, as a network gives while it trains.
    """

    def __init__(self, loss: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.loss, self.weight = loss, weight

    def forward(self, answer: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
        logits, *auxiliary = answer if isinstance(answer, tuple) else (answer,)
        total = self.loss(logits.float(), target)
        for inner in auxiliary:
            total = total + self.weight * self.loss(inner.float(), target)
        return total
