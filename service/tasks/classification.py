"""Probabilities -> classes, most probable first, and the inner nodes of their taxonomy."""

from dataclasses import dataclass

from models.image import Array
from models.spec import ModelSpec
from service.api.answers import ClassProbability, NodeProbability


@dataclass(frozen=True, slots=True)
class Classified:
    classes: tuple[ClassProbability, ...]
    nodes: tuple[NodeProbability, ...]


def classify(probabilities: Array, spec: ModelSpec, *, top_k: int) -> tuple[ClassProbability, ...]:
    """(C,) float32 in [0, 1] -> the top_k classes, most probable first; equal ones in the package's order."""
    ranked = (-probabilities[: len(spec.classes)]).argsort(kind="stable")[:top_k]
    return tuple(_class(int(index), float(probabilities[index]), spec) for index in ranked)


def _class(index: int, probability: float, spec: ModelSpec) -> ClassProbability:
    known = spec.classes[index]
    return ClassProbability(
        label=known.label,
        name=known.name or known.label,
        probability=probability,
        threshold=known.threshold,
        decided=probability >= known.threshold,
    )


def sum_up(probabilities: Array, spec: ModelSpec) -> tuple[NodeProbability, ...]:
    """(C,) float32 in [0, 1] -> every inner node of the taxonomy, most probable first; none where there is no taxonomy.

    Sums of float32 that round to more than 1 are 1.
    """
    if not spec.nodes:
        return ()
    sums = spec.taxonomy.probabilities(probabilities[: len(spec.classes)]).clip(max=1)
    return tuple(
        NodeProbability(
            label=node.label, name=node.name or node.label, parent=node.parent, probability=float(sums[index])
        )
        for index, node in sorted(enumerate(spec.nodes), key=lambda one: -sums[one[0]])
    )
