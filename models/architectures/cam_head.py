"""Class activation maps as part of the forward pass."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def classify_with_map(features: Tensor, fc: nn.Linear) -> tuple[Tensor, Tensor]:
    """Global-average-pooling head whose class activation maps are its own intermediate (Zhou 2016, arXiv:1512.04150).

    features (N, K, h, w) float -> logits (N, C), cam (N, C, h, w); logits = mean(cam) + bias, so the maps cost nothing.
    """
    cam = F.conv2d(features, fc.weight[:, :, None, None])  # (N, C, h, w)
    # Half precision ends here: the mean of many pixels needs more digits than each of them has.
    cam = cam.to(torch.promote_types(cam.dtype, torch.float32))
    return cam.mean(dim=(2, 3)) + fc.bias, cam


def classify_with_gradient_maps(features: Tensor, layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor, Tensor]:
    """Fully connected head, a ReLU between each two layers, with what a backward pass to the features would give.

    features (N, K, h, w) float -> logits (N, C), Grad-CAM (N, C, h, w), HiResCAM (N, C, h, w), before any ReLU: the sum
    over the channels of the features times a logit's gradient, in the first that gradient's mean over the places
    (Selvaraju 2017, arXiv:1610.02391), in the second itself (Draelos 2020, arXiv:2011.08891).

    The first layer is left in the terms that the places give it. Their sum is its answer; the gradient behind it times
    each place's terms is HiResCAM. So its weights, most of the network's, are read once for both. A ReLU's derivative
    is its own sign, so all of it is forward operations, which ONNX has.
    """
    first, *middle, last = layers
    flat = features.flatten(2)  # (N, K, hw)
    weight = first.weight.unflatten(1, flat.shape[1:]).permute(2, 1, 0)  # (hw, K, M)
    terms = (flat.permute(2, 0, 1) @ weight).to(torch.promote_types(flat.dtype, torch.float32))  # (hw, N, M)
    hidden = [(terms.sum(dim=0) + first.bias).relu().to(flat.dtype)]  # (N, M)
    for layer in middle:
        hidden.append(layer(hidden[-1]).relu())
    gradient = last.weight * torch.sign(hidden[-1])[:, None]  # (N, C, M)
    for layer, behind in zip(reversed(middle), hidden[-2::-1]):
        gradient = (gradient @ layer.weight) * torch.sign(behind)[:, None]
    gradcam = gradient @ weight.mean(dim=0).T @ flat  # (N, C, hw)
    hirescam = gradient.to(terms.dtype) @ terms.permute(1, 2, 0)  # (N, C, hw)
    size = features.shape[2:]
    return last(hidden[-1]), gradcam.unflatten(2, size), hirescam.unflatten(2, size)


class DenseHeadCam:
    """For a network of `features`, `avgpool` and `classifier`, dense layers with ReLUs and dropout between them."""

    cam_methods: ClassVar = ("gradcam", "hirescam")
    features: nn.Sequential
    avgpool: nn.Module
    classifier: nn.Sequential

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (N, in_channels, H, W) -> logits (N, C), Grad-CAM and HiResCAM of what `avgpool` gives; without dropout."""
        layers = [layer for layer in self.classifier if isinstance(layer, nn.Linear)]
        return classify_with_gradient_maps(self.avgpool(self.features(x)), layers)
