"""Task: what a network's outputs mean for one kind of question, and how the answer is written."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from models.errors import StriateError
from models.image import Array
from models.source import Image
from models.spec import ModelSpec, TaskKind
from service.api.answers import Answer, WireModel

Options = TypeVar("Options", bound=WireModel, contravariant=True)
Findings = TypeVar("Findings")
Outputs = Mapping[str, Array]  # the network's, by their names in the graph, without the batch axis
Separate = Callable[[Array, ModelSpec], Array]  # models.objects.separate, but it ends at the deadline


@dataclass(frozen=True, slots=True)
class Picture:
    """A binary answer. facts: header name without "X-Striate-" -> value, any text."""

    body: bytes
    media_type: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON answer: `schema`, with these fields beside those of every answer.

    raw: fields that are JSON already and go out unvalidated, since there may be tens of thousands of objects.
    """

    schema: type[Answer]
    fields: Mapping[str, Any]
    raw: Mapping[str, Any] = field(default_factory=dict)


Encoded = Picture | Document


def media_types_of(formats: Mapping[str, tuple[str, object]]) -> tuple[str, ...]:
    """Returns each media type once. formats: name -> media type and the function that writes the answer."""
    return tuple(dict.fromkeys(media_type for media_type, _ in formats.values()))


class Passes(Protocol):
    """Runs the network on changed inputs."""

    async def __call__(self, inputs: Sequence[Callable[[], Array]], *, most: int) -> list[Outputs]:
        """Runs each input, (C, H, W) float32, made when its turn comes; at most `most` of them wait or run together."""


class ExtraPasses(Protocol):
    """Adds outputs that need further passes of the network, such as an occlusion map."""

    async def __call__(self, outputs: Outputs, tensor: Array, options: Any, spec: ModelSpec, passes: Passes) -> Outputs:
        """Returns the outputs and the further ones. tensor (C, H, W) float32: the network's input."""


class Task(Protocol[Options, Findings]):
    """One kind of question about an image. Its route is /`name`, which answers what `outputs` and `interpret` raise.

    kind: of the models that can answer it. schemas, media_types: of its answers. errors: those of its own.
    most_images: of one request; None leaves it to STRIATE_MAX_IMAGES. extra_passes: where an answer needs them.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[TaskKind]
    options: ClassVar[type[WireModel]]
    schemas: ClassVar[tuple[type[WireModel], ...]] = ()
    media_types: ClassVar[tuple[str, ...]] = ()
    errors: ClassVar[tuple[type[StriateError], ...]] = ()
    most_images: ClassVar[int | None] = 1

    extra_passes: ClassVar[ExtraPasses | None] = None

    @abstractmethod
    def outputs(self, options: Options, spec: ModelSpec) -> tuple[str, ...]:
        """Returns the names of the outputs to run beside the probabilities. Raises what the options get wrong."""

    @abstractmethod
    def pixels(self, options: Options, image: Image) -> float:
        """Returns about how many pixels interpret() and encode() go through."""

    @abstractmethod
    def interpret(
        self, outputs: Outputs, image: Image, options: Options, spec: ModelSpec, separate: Separate
    ) -> Findings:
        """Returns what the outputs mean, in the image's own pixels."""

    @abstractmethod
    def encode(self, findings: Findings, image: Image, options: Options, spec: ModelSpec) -> Encoded:
        """Returns the answer as the options ask for it."""

    def warm_up_options(self, spec: ModelSpec) -> tuple[WireModel, ...]:
        """Returns the options of the questions to ask once before requests come."""
        return (self.options(),)

    def top_class(self, outputs: Outputs, spec: ModelSpec) -> tuple[str, float] | None:
        """Returns the prediction to count in the metrics, a label and its probability."""
        return None
