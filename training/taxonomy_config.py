"""Taxonomy of a recipe: a tree above the classes, and training classes of bounded size (Esteva 2017)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.image import Array
from models.spec import Label
from models.taxonomy import Taxonomy
from training.data.examples import DataError, DataSet, Example, constant

Tree = Mapping[str, Sequence[str]]  # node -> its children


class TaxonomyConfig(BaseModel):
    """The recipe's [taxonomy] table. parents: of classes and inner nodes, as far as they have one.

    max_class_size: classes are merged along the tree while they have fewer images; None keeps the classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parents: dict[Label, Label] = Field(min_length=1)
    max_class_size: int | None = Field(default=None, ge=1)

    def of(self, classes: Sequence[str]) -> Taxonomy:
        """Returns the tree above these classes, inner nodes in the order of their first class.

        Raises ValueError if it is not a tree, or if a leaf is not one of the classes.
        """
        whole = Taxonomy(tuple(classes), (), self.parents)
        nodes = tuple(dict.fromkeys(node for label in classes for node in whole.above(label)))
        return Taxonomy(tuple(classes), nodes, {a: b for a, b in self.parents.items() if {a, b} <= {*classes, *nodes}})

    def merge(self, data: DataSet) -> DataSet:
        """Merges classes up to max_class_size. Raises DataError if the tree does not fit the classes."""
        tree = self._children(data)
        try:
            self.of(data.classes)
        except ValueError as error:
            raise DataError(f"The taxonomy is not a tree: {error}.") from error
        if self.max_class_size is None:
            return data
        counts = Counter(data.classes[int(example.truth())] for example in data.examples)
        merged = {
            label: part[0]
            for root in tree
            if root not in self.parents
            for part in partition(tree, root, counts, max_class_size=self.max_class_size)
            for label in part
        }
        classes = tuple(dict.fromkeys(merged[label] for label in data.classes))
        places = np.array([classes.index(merged[label]) for label in data.classes])
        return DataSet(tuple(_renumbered(example, places) for example in data.examples), classes)

    def _children(self, data: DataSet) -> Tree:
        tree: dict[str, list[str]] = {label: [] for label in data.classes}
        for child, parent in self.parents.items():
            tree.setdefault(child, [])
            tree.setdefault(parent, []).append(child)
        unknown = [label for label, below in tree.items() if not below and label not in data.classes]
        if unknown:
            raise DataError(f"The taxonomy has unknown classes {unknown}; the classes of the data are {data.classes}.")
        for label in data.classes:
            if tree[label]:
                raise DataError(
                    f"{label!r} has its own images and the classes {tree[label]} below it: rename the node."
                )
        return tree


def partition(tree: Tree, root: str, counts: Mapping[str, int], *, max_class_size: int) -> Iterator[tuple[str, ...]]:
    """Yields the training classes of the disease-partitioning algorithm (Esteva 2017, extended data table 1).

    Each is a tuple of nodes, named after the first. A node with fewer than max_class_size images in its subtree
    becomes one class; otherwise its children are partitioned. Images that the published algorithm would leave
    without a class (a leaf that is too large, or a large node's own images) form a class of their own.
    """
    below = tuple(_descendants(tree, root))
    if sum(counts.get(node, 0) for node in below) < max_class_size:
        yield below
        return
    if counts.get(root, 0):
        yield (root,)
    for child in tree[root]:
        yield from partition(tree, child, counts, max_class_size=max_class_size)


def _descendants(tree: Tree, node: str) -> Iterator[str]:
    yield node
    for child in tree[node]:
        yield from _descendants(tree, child)


def _renumbered(example: Example, places: Array) -> Example:
    return replace(example, truth=constant(np.int64(places[int(example.truth())])))
