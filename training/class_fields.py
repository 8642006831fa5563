"""Classes and taxonomy nodes as a package describes them."""

import itertools
from collections.abc import Sequence
from typing import Any

from models.taxonomy import Taxonomy
from training.config import Recipe

# Distinct for colour-blind people too (Okabe and Ito 2008).
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def class_fields(labels: Sequence[str], recipe: Recipe, *, thresholds: Sequence[float]) -> dict[str, Any]:
    """Returns ModelSpec's `classes` and `nodes`."""
    tree = recipe.taxonomy.of(labels) if recipe.taxonomy else Taxonomy(tuple(labels), (), {})

    def entry(label: str) -> dict[str, Any]:
        return {"label": label, "name": recipe.package.names.get(label, ""), "parent": tree.parents.get(label)}

    columns = zip(labels, thresholds, itertools.cycle(COLOURS))
    classes = [entry(label) | {"threshold": threshold, "colour": colour} for label, threshold, colour in columns]
    return {"classes": classes, "nodes": [entry(node) for node in tree.nodes]}
