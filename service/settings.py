"""Every environment variable, typed and bounded; the only file of the service that reads the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.errors import StriateError

PREFIX = "STRIATE_"


class BadSettings(StriateError):
    """An environment variable that is misspelt or out of bounds; the process does not start."""

    code = "bad_settings"


class Settings(BaseSettings):
    """Each field is the variable STRIATE_<FIELD>, read once at start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    models: Path = Field(
        Path("models/starter"), description="Folder of model packages, laid out as <name>/<version>/rdf.yaml."
    )
    wanted: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names of the models that must serve for /readyz to answer 200; "
        "empty: one model, any, is enough.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where networks run; with `cuda` the service refuses to start unless the GPU really works.",
    )
    session_threads: int = Field(
        min(os.cpu_count() or 1, 8), ge=1, le=256, description="CPU threads that one run of a network uses."
    )
    worker_threads: int = Field(
        min(os.cpu_count() or 1, 16), ge=1, le=256, description="Threads that decode, prepare and encode images."
    )
    queue_length: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Images that may wait for a thread, or for one model; one more is answered 429.",
    )
    timeout_s: float = Field(30.0, gt=0, le=3600, description="Seconds a request may take before it is answered 504.")
    max_upload_bytes: int = Field(
        64 * 2**20, ge=1024, le=2**32, description="Bytes that a request's body may have; a larger one is answered 413."
    )
    max_pixels: int = Field(
        50_000_000, ge=1, le=2**31, description="Pixels that an image may have, checked before any is decoded."
    )
    max_images: int = Field(64, ge=1, le=1000, description="Images that one /predict may carry.")
    tile_px: int = Field(
        1024, ge=64, le=16_384, description="Side in pixels above which a segmentation runs in overlapping tiles."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe log line written; a request's line is `info`."
    )

    @field_validator("wanted", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


def load_settings() -> Settings:
    """The environment's settings. Raises BadSettings, which names the variable, its value and what is allowed."""
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise BadSettings(f"{', '.join(unknown)} is no setting; the settings are {', '.join(sorted(known))}.")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        raise BadSettings(f"{variable}={first['input']!s:.200}: {first['msg']}.") from error


def check_models_folder(settings: Settings) -> None:
    """Raises BadSettings where there is no folder of models; not in load_settings, since a build has none yet."""
    if not settings.models.is_dir():
        raise BadSettings(f"{PREFIX}MODELS={settings.models}: there is no such folder (seen from {Path.cwd()}).")
