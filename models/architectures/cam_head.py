"""Classifier heads with class activation maps as part of the forward pass."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def classify_with_map(features: Tensor, fc: nn.Linear) -> tuple[Tensor, Tensor]:
    """Applies a global-average-pooling head and returns its class activation maps (Zhou 2016, arXiv:1512.04150).

    features (N, K, h, w) float -> logits (N, C), cam (N, C, h, w); logits = mean(cam) + bias, so the maps cost nothing.
    """
    cam = F.conv2d(features, fc.weight[:, :, None, None])  # (N, C, h, w)
    # Half precision ends here: the mean of many pixels needs more digits than each pixel.
    cam = cam.to(torch.promote_types(cam.dtype, torch.float32))
    return cam.mean(dim=(2, 3)) + fc.bias, cam


def classify_with_gradient_maps(features: Tensor, layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor, Tensor]:
    """Applies a fully connected head with ReLUs and returns gradient-based maps, without a backward pass.

    features (N, K, h, w) float -> logits (N, C), Grad-CAM (N, C, h, w), HiResCAM (N, C, h, w), both before their ReLU.
    A map is the sum over channels of the features times the logit's gradient: its spatial mean in Grad-CAM (Selvaraju
    2017, arXiv:1610.02391), the gradient itself in HiResCAM (Draelos 2020, arXiv:2011.08891).

    The first layer is kept as a sum over spatial positions. The sum is its output; the gradient behind the layer times
    each position's term is HiResCAM. So the first layer's weights, most of the network's, are read once for both. The
    derivative of a ReLU is the sign of its output, so everything is a forward operation, which ONNX has.
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
    """Mixin with maps for networks of `features`, `avgpool` and a dense `classifier` with ReLUs and dropout."""

    cam_methods: ClassVar = ("gradcam", "hirescam")
    features: nn.Sequential
    avgpool: nn.Module
    classifier: nn.Sequential

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes logits (N, C), Grad-CAM and HiResCAM of the output of `avgpool`, without dropout."""
        layers = [layer for layer in self.classifier if isinstance(layer, nn.Linear)]
        return classify_with_gradient_maps(self.avgpool(self.features(x)), layers)
