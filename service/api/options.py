"""Request options outside the tasks, and the types that the tasks' options share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from service.api.answers import WireModel
from service.encode.colour import COLORMAPS


@dataclass(frozen=True, slots=True)
class OneOf:
    """Restricts a str to the names in a registry, with the schema and the errors of a Literal that lists them."""

    values: Iterable[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.values))


Colormap = Annotated[str, OneOf(COLORMAPS)]
COLORMAP_DESCRIPTION = f"One of {', '.join(COLORMAPS)}."
Alpha = Annotated[float, Field(ge=0, le=1)]


class FilterOptions(WireModel):
    """The query parameters of /models/{name}/filters."""

    format: Literal["picture", "raw"] = Field(
        "picture", description="The filters side by side (PNG), or their values as a float32 .npy."
    )
