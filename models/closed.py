"""What every part of a description is."""

from pydantic import BaseModel, ConfigDict


class Closed(BaseModel):
    """Frozen, and a field that is not declared is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
