"""Building blocks of a description: closed pydantic models, and files with their digests."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)]  # no folders: no way out
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Closed(BaseModel):
    """A frozen model in which a field that is not declared is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class File(Closed):
    """A file of the package: its plain name and its content's digest."""

    source: FileName
    sha256: Sha256
