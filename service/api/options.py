"""Request options: the fields of each route other than the image and the model."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.answers import WireModel
from service.encode.colour import COLORMAPS


class PredictOptions(WireModel):
    """The fields of /predict other than `image` and `model`."""

    top_k: int = Field(5, ge=1, le=1000, description="Number of classes to return, most probable first.")


Colormap = Literal["viridis", "magma", "inferno", "turbo", "gray"]
Alpha = Annotated[float, Field(ge=0, le=1)]


class CamOptions(WireModel):
    """The fields of /cam other than `image` and `model`."""

    label: str | None = Field(None, description="The class to map; by default the most probable one.")
    method: Literal["cam", "gradcam", "hirescam", "occlusion"] | None = Field(
        None, description="The method that computes the map; by default the model's own."
    )
    format: Literal["overlay", "heatmap", "raw"] = Field(
        "overlay", description="The map over the image, the map alone (both PNG), or its values as a float32 .npy."
    )
    colormap: Colormap = Field("inferno", description=f"One of {', '.join(COLORMAPS)}.")
    alpha: Alpha = Field(0.6, description="Opacity of the overlay at the map's maximum.")


class ActivationOptions(WireModel):
    """The fields of /activations other than `image` and `model`."""

    layer: str | None = Field(None, description="One of the model's layers; by default the first.")
    format: Literal["picture", "raw"] = Field(
        "picture", description="The maps side by side (PNG), or their values as a float32 .npy."
    )
    first: int = Field(0, ge=0, description="Index of the first channel, from 0.")
    count: int = Field(64, ge=1, le=64, description="Number of channels.")
    colormap: Colormap = Field("viridis", description=f"One of {', '.join(COLORMAPS)}.")


class FilterOptions(WireModel):
    """The query parameters of /models/{name}/filters."""

    format: Literal["picture", "raw"] = Field(
        "picture", description="The filters side by side (PNG), or their values as a float32 .npy."
    )


class SegmentOptions(WireModel):
    """The fields of /segment other than `image` and `model`."""

    format: Literal["labels", "overlay", "binary", "colours", "masks", "probabilities", "measurements"] = Field(
        "labels",
        description="PNG (`labels`, `overlay`, `binary`, `colours`), .npy (`masks`, `probabilities`) or JSON "
        "(`measurements`).",
    )
    alpha: Alpha = Field(0.4, description="Opacity of the overlay inside objects.")
    pixel_size_um: float | None = Field(
        None, gt=0, le=1e6, description="Pixel size in micrometres; overrides the file's."
    )
