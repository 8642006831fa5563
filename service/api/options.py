"""Request options outside the tasks, and the types that the tasks' options share."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from service.api.answers import WireModel
from service.encode.colour import COLORMAPS

_WHOLE = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, slots=True)
class OneOf:
    """Restricts a str to the names in a registry, with the schema and the errors of a Literal that lists them."""

    values: Iterable[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.values))


def _digits(value: object) -> object:
    """Checks that text is digits alone; Python would read "1_0" and "5.0" too."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise PydanticCustomError("int_parsing", "Input should be a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_digits)]
Colormap = Annotated[str, OneOf(COLORMAPS)]
COLORMAP_DESCRIPTION = f"One of {', '.join(COLORMAPS)}."
Alpha = Annotated[float, Field(ge=0, le=1)]


class FilterOptions(WireModel):
    """The query parameters of /models/{name}/filters."""

    format: Literal["picture", "raw"] = Field(
        "picture", description="The filters side by side (PNG), or their values as a float32 .npy."
    )
