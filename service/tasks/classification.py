"""Probabilities -> classes, most probable first."""

from models.image import Array
from models.spec import ModelSpec
from service.schemas import ClassProbability


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
