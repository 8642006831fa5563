"""Class taxonomies: the network distinguishes the fine classes, and answers can be read at any level (Esteva 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.image import Array


@dataclass(frozen=True)
class Taxonomy:
    """A tree of classes.

    classes: the leaves, in the order of the network's outputs. parents: of leaves and inner nodes; a root has none.

    Raises ValueError where an inner node has no class below it, or is above itself.
    """

    classes: tuple[str, ...]
    nodes: tuple[str, ...]  # the inner ones
    parents: Mapping[str, str]

    def __post_init__(self) -> None:
        for node, below in zip(self.nodes, self.below):
            if node in self.above(node):
                raise ValueError(f"the node {node!r} is above itself in the taxonomy")
            if not below.any():
                raise ValueError(f"the node {node!r} of the taxonomy has no class below it; there are {self.classes}")

    def above(self, label: str) -> tuple[str, ...]:
        """Returns the nodes above a label, from its parent to the root."""
        path: list[str] = []
        while (parent := self.parents.get(label)) is not None and parent not in path:
            path.append(parent)
            label = parent
        return tuple(path)

    @cached_property
    def below(self) -> Array:
        """Matrix (nodes, C) bool: whether a class is below a node."""
        above = [self.above(label) for label in self.classes]
        return np.array([[node in path for path in above] for node in self.nodes], bool).reshape(-1, len(self.classes))

    def probabilities(self, classes: Array) -> Array:
        """Sums mutually exclusive classes (..., C) to the nodes above them (..., nodes)."""
        whole: Array = classes @ self.below.T.astype(classes.dtype)
        return whole

    def level(self, depth: int) -> tuple[str, ...]:
        """Returns each class's ancestor `depth` steps below the root, or the class itself where it is higher up."""
        paths = [(*reversed(self.above(label)), label) for label in self.classes]
        return tuple(path[min(depth, len(path) - 1)] for path in paths)

    @property
    def depth(self) -> int:
        """Steps from the root to the lowest class; 0 where nothing is above any."""
        return max(len(self.above(label)) for label in self.classes)


def coarser(probabilities: Array, names: Sequence[str]) -> tuple[Array, Array]:
    """Sums probabilities (..., C) by the classes' names at a level -> (..., G), and each class's index in it."""
    groups, place = np.unique(names, return_inverse=True)
    return probabilities @ np.eye(len(groups), dtype=probabilities.dtype)[place], place
