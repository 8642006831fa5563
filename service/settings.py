"""Settings: every environment variable, typed and bounded. No other file of the service reads the environment."""

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.errors import StriateError

PREFIX = "STRIATE_"
_COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class InvalidSettings(StriateError):
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
    rescan_s: float = Field(
        10.0,
        ge=0.1,
        le=3600,
        description="Seconds after which the folder of models is looked through where the system tells of no change, "
        "as on network file systems.",
    )
    loaded_bytes: int = Field(
        0,
        ge=0,
        description="Bytes of weights that may be loaded; the least recently used model is unloaded, and loaded again "
        "when it is asked for. `0` is no limit.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where networks run; with `cuda` the service refuses to start unless the GPU really works.",
    )
    batch_sizes: Annotated[tuple[int, ...], NoDecode] = Field(
        (1, 2, 4, 8, 16, 32),
        description="Comma-separated numbers of images that may run together, from 1 up; a GPU prepares for each.",
    )
    batch_bound_s: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Seconds that a run of several images may take: batches are only as large as that allows.",
    )
    gpu_memory_bytes: int = Field(
        0, ge=0, description="GPU memory that each model may take for weights and activations; `0` is no limit."
    )
    gpu_engine: Literal["cuda", "cuda_graphs", "tensorrt"] = Field(
        "cuda",
        description="How a GPU runs networks; anything but `cuda` needs `STRIATE_DEVICE=cuda`, and is refused where it "
        "does not work.",
    )
    engine_cache: Path = Field(
        Path("build/tensorrt"), description="Folder where `tensorrt` keeps what it compiles, for the next start."
    )
    front_ends: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that answer HTTP, decode and encode; more than 1 share one engine process, which runs "
        "the networks.",
    )
    engine_socket: str = Field(
        "", description="Where the engine process listens; the service tells its own front ends, leave it alone."
    )
    session_threads: int = Field(
        min(os.cpu_count() or 1, 8),
        ge=1,
        le=256,
        description="CPU threads on which a network runs, each a batch of its own.",
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
    image_bytes: int = Field(
        0,
        ge=0,
        description="Bytes that bodies above 1 MiB and images above 4 megapixels may take together, maps included; `0` "
        "is half of the memory that the machine or the container has. What alone would need more is answered 413, what "
        "finds too little left 503.",
    )
    max_images: int = Field(64, ge=1, le=1000, description="Images that one /predict may carry.")
    tile_px: int = Field(
        1024, ge=64, le=16_384, description="Side in pixels above which a segmentation runs in overlapping tiles."
    )
    keys: str = Field("", description="File of API keys; where it is given, every route but health needs a key.")
    without_keys: Literal["loopback", "anywhere"] = Field(
        "loopback",
        description="Where the service may listen without keys; `anywhere` leaves the door to a proxy or a firewall.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated origins, such as `https://viewer.example.org`, whose pages may ask the service.",
    )
    audit: str = Field("", description="File of the audit log, a line an answer; empty: none is kept.")
    audit_file_bytes: int = Field(
        256 * 2**20, ge=4096, description="Bytes at which the audit log goes on in a new file; none is ever deleted."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe log line written; a request's line is `info`."
    )
    trace_endpoint: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Base URL of an OpenTelemetry collector (OTLP over HTTP) that gets traces; "
        "empty: as `OTEL_EXPORTER_OTLP_ENDPOINT` says, and without that none are made.",
    )

    @property
    def traced(self) -> bool:
        """Whether a collector is named, here or in OpenTelemetry's own variables."""
        return bool(self.trace_endpoint) or any(os.environ.get(name) for name in _COLLECTORS)

    @field_validator("wanted", "batch_sizes", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("batch_sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes or sizes[0] != 1 or list(sizes) != sorted(set(sizes)) or sizes[-1] > 1024:
            raise ValueError("batch sizes begin with 1, ascend, and end at 1024 at most")
        return sizes

    @field_validator("cors_origins")
    @classmethod
    def _named(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?", origin):
                raise ValueError(f"{origin!r} is no origin: it needs scheme and host, in small letters, and no path")
        return origins

    @field_validator("front_ends")
    @classmethod
    def _possible(cls, count: int) -> int:
        if count > 1 and not hasattr(os, "memfd_create"):
            raise ValueError("more than one share memory in a way that only Linux has")
        return count

    @field_validator("gpu_engine")
    @classmethod
    def _promised(cls, engine: str, info: ValidationInfo) -> str:
        if engine != "cuda" and info.data.get("device") != "cuda":
            raise ValueError("it needs STRIATE_DEVICE=cuda, or the service would do without it in silence")
        return engine


def load_settings() -> Settings:
    """The environment's settings. Raises BadSettings, which names the variable, its value and what is allowed."""
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise InvalidSettings(f"{', '.join(unknown)} is no setting; the settings are {', '.join(sorted(known))}.")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        raise InvalidSettings(f"{variable}={first['input']!s:.200}: {first['msg']}.") from error


def hand_down(*, engine_socket: Path) -> None:
    """Tells the processes that this one starts where the engine listens, and BentoML to start ended ones again."""
    os.environ[PREFIX + "ENGINE_SOCKET"] = str(engine_socket)
    # With this set, as in its images, BentoML lets the other front ends go on, one fewer each time, until none is left.
    os.environ.pop("BENTOML_CONTAINERIZED", None)


def check_models_folder(settings: Settings) -> None:
    """Raises BadSettings where there is no folder of models; not in load_settings, since a build has none yet."""
    if not settings.models.is_dir():
        raise InvalidSettings(f"{PREFIX}MODELS={settings.models}: there is no such folder (seen from {Path.cwd()}).")


def check_host(settings: Settings, host: str) -> None:
    """Raises BadSettings where the service would listen beyond this machine without keys, and nobody said it may."""
    if settings.keys or settings.without_keys == "anywhere" or host == "localhost" or ip_address(host).is_loopback:
        return
    raise InvalidSettings(
        f"host {host} is open to the network and there are no API keys. Listen on 127.0.0.1, or name a file of keys in "
        f"{PREFIX}KEYS, or say with {PREFIX}WITHOUT_KEYS=anywhere that a proxy or a firewall keeps the door."
    )
