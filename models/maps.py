"""What a network shows of its inside: class activation maps, and the feature maps of chosen layers."""

import re
from typing import Annotated, Literal

from pydantic import Field

from models.closed import Closed

Tolerance = Annotated[float, Field(gt=0)]
_TAP = "tap_"


class CamSpec(Closed):
    """The graph's class activation maps, output `cam` (N, classes, h, w) float32, before any ReLU.

    "cam": the logit is the map's mean plus a bias (Zhou 2016). "gradcam": gradient-weighted features (Selvaraju 2017).
    also: further outputs of that size, each with its tolerance; "hirescam": gradient times features, place by place
    (Draelos 2020). The map's pixel i is centred on pixel origin + i * stride of the network's input.
    """

    method: Literal["cam", "gradcam"]
    size: tuple[int, int]  # h, w
    origin: float = 0.0
    stride: float = Field(gt=0)
    tolerance: Tolerance = 1e-4  # absolute, on the test output `cam`
    also: dict[Literal["hirescam"], Tolerance] = Field(default={})

    @property
    def methods(self) -> dict[str, tuple[str, float]]:
        """Each way there is to make a map: the output that it is made of, and what that is multiplied by.

        Where the logit is a map's mean, its gradient at each place is the weights over the number of places: both
        gradient methods give the map over that number.
        """
        if self.method == "gradcam":
            return {"gradcam": ("cam", 1.0), **{name: (name, 1.0) for name in self.also}}
        share = 1 / (self.size[0] * self.size[1])
        return {"cam": ("cam", 1.0), "gradcam": ("cam", share), "hirescam": ("cam", share)}


def is_tap(output: str) -> bool:
    return output.startswith(_TAP)


class TapSpec(Closed):
    """A layer's feature maps, an output (N, *size) float32 of the graph; where they lie is told as in CamSpec."""

    layer: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$", max_length=64)]
    size: tuple[int, int, int]  # channels, h, w
    receptive_field: int = Field(ge=1)  # px
    origin: float = 0.0
    stride: float = Field(gt=0)
    tolerance: Tolerance = 1e-4

    @property
    def output(self) -> str:
        return self.output_of(self.layer)

    @staticmethod
    def output_of(layer: str) -> str:
        """The output's name, which is an identifier."""
        return _TAP + re.sub(r"\W", "_", layer)
