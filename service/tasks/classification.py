"""Classification: probabilities -> classes, most probable first, and the inner nodes of their taxonomy."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from models.image import Array
from models.source import Image
from models.spec import ModelSpec, TaskKind
from service.api.answers import ClassProbability, NodeProbability, Prediction, Predictions, WireModel
from service.api.options import Whole
from service.tasks.task import Document, Outputs, Separate, Task


class PredictOptions(WireModel):
    """The fields of /predict other than `image` and `model`."""

    top_k: Whole = Field(5, ge=1, le=1000, description="Number of classes to return, most probable first.")


@dataclass(frozen=True, slots=True)
class Classified:
    classes: tuple[ClassProbability, ...]
    nodes: tuple[NodeProbability, ...]


class Classification(Task[PredictOptions, Classified]):
    """Which classes an image shows."""

    name = "predict"
    summary = "Which classes each image shows."
    kind: ClassVar[TaskKind] = "classification"
    options = PredictOptions
    schemas = (Prediction, Predictions)
    most_images = None

    def outputs(self, options: PredictOptions, spec: ModelSpec) -> tuple[str, ...]:
        return ()

    def pixels(self, options: PredictOptions, image: Image) -> float:
        return 0

    def interpret(
        self, outputs: Outputs, image: Image, options: PredictOptions, spec: ModelSpec, separate: Separate
    ) -> Classified:
        probabilities = outputs[spec.names["probabilities"]]
        return Classified(rank(probabilities, spec, top_k=options.top_k), sum_nodes(probabilities, spec))

    def encode(self, findings: Classified, image: Image, options: PredictOptions, spec: ModelSpec) -> Document:
        return Document(Prediction, {"classes": findings.classes, "nodes": findings.nodes})

    def top_class(self, outputs: Outputs, spec: ModelSpec) -> tuple[str, float]:
        return top_class(outputs[spec.names["probabilities"]], spec)


def top_class(probabilities: Array, spec: ModelSpec) -> tuple[str, float]:
    """Returns the label and the probability of the most probable class, of probabilities (C,)."""
    index = most_probable(probabilities, spec)
    return spec.classes[index].label, float(probabilities[index])


def most_probable(probabilities: Array, spec: ModelSpec) -> int:
    """Returns the index of the most probable class, of probabilities (C,)."""
    return int(probabilities[: len(spec.classes)].argmax())


def rank(probabilities: Array, spec: ModelSpec, *, top_k: int) -> tuple[ClassProbability, ...]:
    """(C,) float32 in [0, 1] -> the top_k classes, most probable first; equal ones in the package's order."""
    ranked = (-probabilities[: len(spec.classes)]).argsort(kind="stable")[:top_k]
    return tuple(_class(int(index), float(probabilities[index]), spec) for index in ranked)


def _class(index: int, probability: float, spec: ModelSpec) -> ClassProbability:
    described = spec.classes[index]
    return ClassProbability(
        label=described.label,
        name=described.name or described.label,
        probability=probability,
        threshold=described.threshold,
        decided=probability >= described.threshold,
    )


def sum_nodes(probabilities: Array, spec: ModelSpec) -> tuple[NodeProbability, ...]:
    """(C,) float32 in [0, 1] -> every inner node of the taxonomy, most probable first; none without a taxonomy.

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
