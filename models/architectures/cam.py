"""Class activation maps as part of the forward pass."""

from torch import Tensor, nn
from torch.nn import functional as F


def classify_with_map(features: Tensor, fc: nn.Linear) -> tuple[Tensor, Tensor]:
    """Global-average-pooling head whose class activation maps are its own intermediate (Zhou 2016, arXiv:1512.04150).

    features (N, K, h, w) float -> logits (N, C), cam (N, C, h, w); logits = mean(cam) + bias, so the maps cost nothing.
    """
    cam = F.conv2d(features, fc.weight[:, :, None, None])  # (N, C, h, w)
    return cam.mean(dim=(2, 3)) + fc.bias, cam
