"""From a recipe to the network that is trained and exported."""

from typing import Literal

import torch
from torch import Tensor, nn

from models.architectures import ARCHITECTURES
from training.config import InputConfig, Recipe
from training.geometry import Geometry, of_classifier, of_segmenter
from training.tasks import TASKS, activate


class SignedRoot(nn.Module):
    """x any shape -> sign(x) sqrt(|x|)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sign() * x.abs().sqrt()


class Normalised(nn.Module):
    """A network behind its fixed normalisation, as InputConfig says; both are part of the exported graph."""

    def __init__(self, body: nn.Module, config: InputConfig) -> None:
        super().__init__()
        self.body = body
        self.stabilise = SignedRoot() if config.root else nn.Identity()
        self.register_buffer("mean", torch.tensor(config.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(config.std)[:, None, None], persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        return self.stabilise((x - self.mean) / self.std)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.normalise(x))

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.body.forward_with_cam(self.normalise(x))  # type: ignore[operator]


class Exported(nn.Module):
    """What ONNX holds: normalisation, network, temperature (Guo 2017), activation, and a classifier's maps."""

    def __init__(self, network: Normalised, *, activation: Literal["softmax", "sigmoid"], temperature: float) -> None:
        super().__init__()
        self.network, self.activation, self.temperature = network, activation, temperature

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        """x (N, C, H, W) -> probabilities (N, K), cam (N, K, h, w) of a classifier; (N, K, H, W) of a segmenter."""
        if not hasattr(self.network.body, "forward_with_cam"):
            return activate(self.network(x) / self.temperature, self.activation)
        logits, cam = self.network.forward_with_cam(x)
        return activate(logits / self.temperature, self.activation), cam


def build(recipe: Recipe, *, classes: int) -> Normalised:
    """The recipe's network with an output for each class and each auxiliary channel of its task, not yet trained."""
    if recipe.network.name not in ARCHITECTURES:
        raise ValueError(f"There is no architecture {recipe.network.name!r}; there are {sorted(ARCHITECTURES)}.")
    outputs = classes + len(TASKS[recipe.task].auxiliary)
    body = ARCHITECTURES[recipe.network.name](recipe.input.channels, outputs, **recipe.network.options)
    return Normalised(body, recipe.input)


def geometry_of(recipe: Recipe, network: Normalised) -> Geometry:
    """A classifier's is that of its `features`, the layers before the head."""
    channels, size = recipe.input.channels, recipe.input.size
    if size is None:
        return of_segmenter(network.body, in_channels=channels)
    return of_classifier(network.body, in_channels=channels, size=size[0])
