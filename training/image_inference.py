"""Inference on whole images of any size, one at a time, padded as the service pads them."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.image import Array
from models.preprocess import pad
from training.network_geometry import NetworkGeometry


@dataclass(frozen=True, slots=True)
class ImageInference:
    """A network and its device. geometry: of a segmenter, for padding; None for a classifier."""

    network: nn.Module
    device: torch.device
    geometry: NetworkGeometry | None = None

    @torch.no_grad()
    def __call__(self, x: Array) -> Array:
        """Computes the logits (K,) or (K, H, W) float32 of one prepared input (C, H, W) float32."""
        height, width = x.shape[1:]
        if self.geometry:
            x = pad(x, min_size=self.geometry.min_size, step=self.geometry.step, border=self.geometry.border)
        batch: Tensor = torch.from_numpy(x)[None].to(self.device, memory_format=torch.channels_last)
        logits: Array = self.network.eval()(batch)[0].float().cpu().numpy()
        return logits[:, :height, :width] if self.geometry else logits

    def all(self, inputs: Iterable[Array]) -> list[Array]:
        """Computes the logits of each input."""
        return [self(x) for x in inputs]
