"""What a request may ask for: the fields of each route beside the image and the model."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.answers import WireModel
from service.encode.colour import COLORMAPS


class PredictOptions(WireModel):
    """The fields of /predict beside `image` and `model`."""

    top_k: int = Field(5, ge=1, le=1000, description="How many classes to answer, most probable first.")


Colormap = Literal["viridis", "magma", "inferno", "turbo", "gray"]
Alpha = Annotated[float, Field(ge=0, le=1)]


class CamOptions(WireModel):
    """The fields of /cam beside `image` and `model`."""

    label: str | None = Field(None, description="The class whose map is asked for; the most probable one by default.")
    method: Literal["cam", "gradcam", "hirescam", "occlusion"] | None = Field(
        None, description="How the map is made; the model's own way by default."
    )
    format: Literal["overlay", "heatmap", "raw"] = Field(
        "overlay", description="The map over the image, the map alone (both PNG), or its numbers as a float32 .npy."
    )
    colormap: Colormap = Field("inferno", description=f"One of {', '.join(COLORMAPS)}.")
    alpha: Alpha = Field(0.6, description="How much the overlay's hottest point hides the image.")


class ActivationOptions(WireModel):
    """The fields of /activations beside `image` and `model`."""

    layer: str | None = Field(None, description="A layer that the model shows; the first by default.")
    format: Literal["picture", "raw"] = Field(
        "picture", description="The maps side by side (PNG), or their numbers as a float32 .npy."
    )
    first: int = Field(0, ge=0, description="The first channel to show.")
    count: int = Field(64, ge=1, le=64, description="How many channels to show.")
    colormap: Colormap = Field("viridis", description=f"One of {', '.join(COLORMAPS)}.")


class FilterOptions(WireModel):
    """The fields of /models/{name}/filters, in the query."""

    format: Literal["picture", "raw"] = Field(
        "picture", description="The filters side by side (PNG), or their numbers as a float32 .npy."
    )


class SegmentOptions(WireModel):
    """The fields of /segment beside `image` and `model`."""

    format: Literal["labels", "overlay", "binary", "colours", "masks", "probabilities", "measurements"] = Field(
        "labels",
        description="A mask, the mask over the image, or in black and white, or in colours (PNG); .npy; JSON.",
    )
    alpha: Alpha = Field(0.4, description="How much the overlay's colour hides the image inside an object.")
    pixel_size_um: float | None = Field(
        None, gt=0, le=1e6, description="The pixel's side in micrometres, in place of what the file says."
    )
