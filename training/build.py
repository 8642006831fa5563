"""Construction of the network that a recipe trains and exports."""

from typing import Literal, Self

import torch
from torch import Tensor, nn

from models.architectures import ARCHITECTURES
from models.geometry import Geometry
from models.outputs import Role, graph_name
from training.config import InputConfig, Recipe
from training.geometry import of_classifier, of_segmenter
from training.mistakes import RecipeError
from training.taps import known, seen
from training.task import activate, calibrated
from training.tasks import TASKS


class SignedRoot(nn.Module):
    """Computes sign(x) sqrt(|x|) for x of any shape."""

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
        self.precision = torch.float32  # of the body
        # Its body takes (N, C, L) and gives maps (N, K, l); out here a signal is an image one pixel high.
        self.of_signals = getattr(body, "dimensions", 2) == 1

    def half(self) -> Self:
        """Converts the body to half precision; the normalisation stays in float32, for 16-bit intensities."""
        self.body.half()
        self.precision = torch.float16
        return self

    def normalise(self, x: Tensor) -> Tensor:
        x = self.stabilise((x - self.mean) / self.std).to(self.precision)
        return x.squeeze(2) if self.of_signals else x

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.normalise(x))

    def forward_with_cam(self, x: Tensor) -> tuple[Tensor, ...]:
        logits, *maps = self.body.forward_with_cam(self.normalise(x))  # type: ignore[operator]
        return (logits, *(tensor.unsqueeze(2) if self.of_signals else tensor for tensor in maps))


class Exported(nn.Module):
    """The network that ONNX holds: normalisation, body, temperature and bias, activation; a classifier's maps; taps.

    cam_methods: those of the maps, the first of which has the role "cam". taps: names of the body's layers whose
    feature maps are outputs too.
    """

    def __init__(
        self,
        network: Normalised,
        *,
        activation: Literal["softmax", "sigmoid"],
        temperature: float,
        bias: tuple[float, ...] = (),
        taps: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.network, self.activation, self.taps = network, activation, taps
        self.temperature, self.bias = temperature, bias
        known(network.body, taps)
        maps = hasattr(network.body, "forward_with_cam")
        self.cam_methods: tuple[str, ...] = getattr(network.body, "cam_methods", ("cam",)) if maps else ()

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles of the outputs before the taps."""
        return ("probabilities", "cam", *self.cam_methods[1:]) if self.cam_methods else ("probabilities",)

    @property
    def output_names(self) -> tuple[str, ...]:
        return (*map(graph_name, self.roles), *(graph_name("features", layer) for layer in self.taps))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Computes each output for x (N, C, H, W), as float32: probabilities (N, K) and maps (N, K, h, w) of a
        classifier, or probabilities (N, K, H, W); then the taps."""
        answer = self.network.forward_with_cam if self.cam_methods else lambda x: (self.network(x),)
        with seen(self.network.body, self.taps) as found:
            logits, *maps = answer(x)
        decided = calibrated(logits.float(), temperature=self.temperature, bias=self.bias)
        probabilities = activate(decided, self.activation)
        return (probabilities, *(tensor.float() for tensor in (*maps, *(found[layer] for layer in self.taps))))


def build(recipe: Recipe, *, classes: int) -> Normalised:
    """Builds the recipe's network, untrained, with an output for each class and each auxiliary channel of its task."""
    if recipe.network.name not in ARCHITECTURES:
        raise RecipeError(f"There is no architecture {recipe.network.name!r}; there are {sorted(ARCHITECTURES)}.")
    outputs = classes + len(TASKS[recipe.task].auxiliary)
    make = ARCHITECTURES[recipe.network.name]
    try:
        body = make(recipe.input.channels, outputs, **recipe.network.options)
    except TypeError as error:
        raise RecipeError(f"network.options: {error}.") from error
    axes = getattr(body, "dimensions", 2)
    if axes != {"image": 2, "signal": 1}[recipe.input.kind]:
        raise RecipeError(f"{recipe.network.name} is a network of {axes} axes; input.kind is {recipe.input.kind!r}.")
    return Normalised(body, recipe.input)


def geometry_of(recipe: Recipe, network: Normalised) -> Geometry:
    """Computes a network's geometry; a classifier's is that of its `features`, the layers before the head."""
    channels, size = recipe.input.channels, recipe.input.size
    if size is None:
        return of_segmenter(network.body, in_channels=channels)
    return of_classifier(network.body, in_channels=channels, size=size[1])
