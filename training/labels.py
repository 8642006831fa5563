"""How a package's description writes the classes, and the tree above them."""

import itertools
from collections.abc import Sequence
from typing import Any

from models.taxonomy import Taxonomy
from training.config import Recipe

# Told apart by colour-blind people too (Okabe and Ito 2008).
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def class_fields(labels: Sequence[str], recipe: Recipe, *, thresholds: Sequence[float]) -> dict[str, Any]:
    """ModelSpec's `classes` and `nodes`."""
    tree = recipe.taxonomy.of(labels) if recipe.taxonomy else Taxonomy(tuple(labels), (), {})

    def told(label: str) -> dict[str, Any]:
        return {"label": label, "name": recipe.package.names.get(label, ""), "parent": tree.parents.get(label)}

    cuts = zip(labels, thresholds, itertools.cycle(COLOURS))
    classes = [told(label) | {"threshold": cut, "colour": colour} for label, cut, colour in cuts]
    return {"classes": classes, "nodes": [told(node) for node in tree.nodes]}
