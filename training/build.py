"""From a recipe to its network."""

from torch import nn

from models.architectures import ARCHITECTURES
from training.config import Recipe
from training.geometry import Geometry, of_classifier, of_segmenter
from training.tasks import TASKS


def build(recipe: Recipe, *, classes: int) -> nn.Module:
    """The recipe's network with an output for each class and each auxiliary channel of its task, not yet trained."""
    if recipe.network.name not in ARCHITECTURES:
        raise ValueError(f"There is no architecture {recipe.network.name!r}; there are {sorted(ARCHITECTURES)}.")
    outputs = classes + len(TASKS[recipe.task].auxiliary)
    return ARCHITECTURES[recipe.network.name](recipe.input.channels, outputs, **recipe.network.options)


def geometry_of(recipe: Recipe, network: nn.Module) -> Geometry:
    """A classifier's is that of its `features`, the layers before the head."""
    channels, size = recipe.input.channels, recipe.input.size
    if recipe.task in ("regions", "objects"):
        return of_segmenter(network, in_channels=channels)
    assert size is not None
    return of_classifier(network, in_channels=channels, size=size[0])
