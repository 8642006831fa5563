"""Outputs of a network: each has a role, axes, a tolerance and a test tensor.

Code asks for a role ("cam"), never for the name that a graph gives its output.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.closed import Closed, File
from models.errors import PackageError

Role = Literal["probabilities", "cam", "hirescam", "features"]
OutputName = Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9_]*$", max_length=80)]
Axes = Annotated[str, Field(pattern=r"^NC?T?Z?Y?X?$")]  # of the graph's tensor: batch, channel, time, space
Sides = tuple[int, int]  # h, w
_TAP = "tap_"


class OutputSpec(Closed):
    """One output of the graph, a float32 tensor."""

    name: OutputName
    role: Role
    axes: Axes
    tolerance: float = Field(default=1e-4, gt=0)  # absolute, on the test tensor, on any device
    test_tensor: File  # what the network must give for the package's test input


class ProbabilitiesSpec(OutputSpec):
    """Probabilities (N, C), or (N, C, H, W) for each pixel; C in the order of the classes and auxiliary channels."""

    role: Literal["probabilities"]


class ClassMapSpec(OutputSpec):
    """Class activation maps (N, C, h, w), before any ReLU.

    "cam": the logit is the map's mean plus a bias (Zhou 2016). "gradcam": gradient-weighted features (Selvaraju 2017).
    "hirescam": gradient times features, element by element (Draelos 2020). The map's pixel i is centred on pixel
    origin + i * stride of the network's input.
    """

    role: Literal["cam", "hirescam"]
    axes: Axes = "NCYX"
    method: Literal["cam", "gradcam", "hirescam"]
    size: Sides
    origin: float = 0.0
    stride: float = Field(gt=0)

    @model_validator(mode="after")
    def _role_suits_method(self) -> Self:
        if (self.role == "hirescam") != (self.method == "hirescam"):
            raise ValueError(f"an output with the role {self.role!r} cannot hold maps of the method {self.method!r}")
        return self


class TapSpec(OutputSpec):
    """Feature maps (N, K, h, w) of one layer; origin and stride as in ClassMapSpec."""

    name: Annotated[str, Field(pattern=rf"^{_TAP}[A-Za-z0-9_]*$", max_length=80)]
    role: Literal["features"]
    axes: Axes = "NCYX"
    layer: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$", max_length=64)]
    size: tuple[int, int, int]  # channels, h, w
    receptive_field: int = Field(ge=1)  # px
    origin: float = 0.0
    stride: float = Field(gt=0)

    @property
    def output(self) -> str:
        return self.name


AnyOutput = Annotated[ProbabilitiesSpec | ClassMapSpec | TapSpec, Field(discriminator="role")]


def graph_name(role: Role, layer: str = "") -> str:
    """Returns the name that an output has in the graphs that we write; layer: of features."""
    return _TAP + re.sub(r"\W", "_", layer) if role == "features" else role


def is_tap(output: str) -> bool:
    return output.startswith(_TAP)


@dataclass(frozen=True, slots=True)
class CamSpec:
    """Class activation maps that a package can give, all on one grid.

    method: the package's own. methods: for each, the output that it is made of and the factor on that output.
    """

    method: Literal["cam", "gradcam", "hirescam"]
    size: Sides
    origin: float
    stride: float
    methods: Mapping[str, tuple[str, float]]


def cam_of(outputs: Sequence[OutputSpec]) -> CamSpec | None:
    """Returns the maps that these outputs allow; None where no output is a class activation map.

    Where the logit is a map's mean, its gradient at each place is the weights over the number of places: both gradient
    methods give the map over that number. Raises ValueError where the outputs lie on different grids.
    """
    maps = {output.role: output for output in outputs if isinstance(output, ClassMapSpec)}
    if not maps:
        return None
    if "cam" not in maps or len({(each.size, each.origin, each.stride) for each in maps.values()}) > 1:
        raise ValueError("an output with the role 'hirescam' needs one with the role 'cam', of the same size and place")
    own = maps["cam"]
    methods: dict[str, tuple[str, float]] = {own.method: (own.name, 1.0)}
    methods |= {each.method: (each.name, 1.0) for each in maps.values()}
    if own.method == "cam":
        share = 1 / (own.size[0] * own.size[1])
        methods |= {"gradcam": (own.name, share), "hirescam": (own.name, share)}
    return CamSpec(own.method, own.size, own.origin, own.stride, methods)


class OutputNames(dict[Role, str]):
    """Names of a graph's outputs by their roles."""

    package = ""

    def __missing__(self, role: Role) -> str:
        raise PackageError(f"{self.package} has no output with the role {role!r} alone; it has {', '.join(self)}.")
