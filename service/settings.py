"""Settings from environment variables, typed and bounded; the only module of the service that reads the environment."""

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.errors import StriateError
from service.process.container import processors

PREFIX = "STRIATE_"
_ROOT = Path(__file__).parents[1]
AuditGap = Literal["refuse", "record"]
_COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class InvalidSettings(StriateError):
    """A setting that is misspelt or out of bounds; the process does not start."""

    code = "bad_settings"


class Settings(BaseSettings):
    """Each field is the variable STRIATE_<FIELD>, read once at start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    models: Path = Field(
        Path("models/starter"), description="Folder of model packages, laid out as <name>/<version>/rdf.yaml."
    )
    wanted: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names of the models that must serve before /readyz returns 200; "
        "empty: any one model is enough.",
    )
    rescan_s: float = Field(
        10.0,
        ge=0.1,
        le=3600,
        description="Seconds between scans of the model folder where the system reports no changes, "
        "as on network file systems.",
    )
    proof_timeout_s: float = Field(
        60.0,
        ge=1,
        le=3600,
        description="Seconds in which a package must be read, verified, loaded and run once, in a process of its own; "
        "otherwise it is invalid. Also limits `import`.",
    )
    loaded_bytes: int = Field(
        0,
        ge=0,
        description="Limit on the bytes of loaded weights. Beyond it the least recently used model is unloaded, and "
        "its next request loads it again. `0` is a share of the memory.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where networks run; with `cuda` the service refuses to start without a working GPU.",
    )
    batch_sizes: Annotated[tuple[int, ...], NoDecode] = Field(
        (1, 2, 4, 8, 16, 32),
        description="Comma-separated batch sizes, ascending from 1; a GPU prepares each of them.",
    )
    batch_bound_s: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Longest time in seconds for a run of several images; limits the batch size.",
    )
    gpu_memory_bytes: int = Field(
        0, ge=0, description="Bytes of GPU memory that each model may use for weights and activations; `0` is no limit."
    )
    gpu_engine: Literal["cuda", "cuda_graphs", "tensorrt"] = Field(
        "cuda",
        description="How a GPU runs networks. `cuda_graphs` and `tensorrt` need `STRIATE_DEVICE=cuda`; a model that "
        "they cannot run is invalid.",
    )
    engine_cache: Path = Field(
        Path("build/tensorrt"), description="Folder where `tensorrt` caches compiled networks for the next start."
    )
    front_ends: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that handle HTTP, decode and encode; more than 1 share one engine process that runs the "
        "networks.",
    )
    engine_socket: str = Field(
        "", description="Socket of the engine process. Set by the service for its own front ends; do not set it."
    )
    session_threads: int = Field(
        min(processors(), 8),
        ge=1,
        le=256,
        description="CPU threads that run a network, each with its own batch.",
    )
    worker_threads: int = Field(
        min(processors(), 16), ge=1, le=256, description="Threads for short steps of images, and for long ones."
    )
    queue_length: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Images that may wait for a thread, or for one model; further images get 429.",
    )
    timeout_s: float = Field(30.0, gt=0, le=3600, description="Seconds that a request may take; then it gets 504.")
    max_upload_bytes: int = Field(
        64 * 2**20, ge=1024, le=2**32, description="Largest request body in bytes; a larger one gets 413."
    )
    max_pixels: int = Field(50_000_000, ge=1, le=2**31, description="Largest image in pixels, checked before decoding.")
    tolerate_damage: Literal["refuse", "warn"] = Field(
        "refuse",
        description="What becomes of an image whose file is damaged, but can be decoded: `refuse` gives 422, `warn` an "
        "answer with the warning `damaged_image`.",
    )
    image_bytes: int = Field(
        0,
        ge=0,
        description="Memory budget in bytes for all bodies, answers and images, with their maps, above 2 MiB; `0` is a "
        "share of the memory of the machine or container. A request that exceeds the whole budget gets 413; one that "
        "exceeds what is currently free waits for a while, then gets 503.",
    )
    max_images: int = Field(64, ge=1, le=1000, description="Most images in one /predict request.")
    tile_px: int = Field(
        1024,
        ge=64,
        le=16_384,
        description="Largest side in pixels of the tiles of a segmentation; smaller where memory is short.",
    )
    keys: str = Field("", description="File of API keys; if set, every route except health and the page needs a key.")
    without_keys: Literal["loopback", "anywhere"] = Field(
        "loopback",
        description="Where the service may listen without keys; `anywhere` relies on a proxy or firewall.",
    )
    state: str = Field(
        "",
        description="Folder in which the service notes that it has had API keys; from then on it refuses to start "
        "without them. Empty: nothing is noted.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated origins, such as `https://viewer.example.org`, whose pages may call the service.",
    )
    audit: str = Field("", description="File of the audit log, one line per answer; empty: no audit log.")
    audit_file_bytes: int = Field(
        256 * 2**20,
        ge=4096,
        description="Size in bytes at which the audit log continues in a new file; files are never deleted.",
    )
    audit_gap: AuditGap = Field(
        "refuse",
        description="If lines are missing at the end of the audit log: `refuse` withholds answers until an operator "
        "acts; `record` goes on, with a line that says which are lost.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level to log; a request's line has the level `info`."
    )
    trace_endpoint: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Base URL of an OpenTelemetry collector (OTLP over HTTP) for traces; "
        "empty: `OTEL_EXPORTER_OTLP_ENDPOINT` applies, and without it there are no traces.",
    )

    @property
    def traced(self) -> bool:
        """Returns whether a trace collector is configured, here or in OpenTelemetry's own variables."""
        return bool(self.trace_endpoint) or any(os.environ.get(name) for name in _COLLECTORS)

    @field_validator("wanted", "batch_sizes", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("batch_sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes or sizes[0] != 1 or list(sizes) != sorted(set(sizes)) or sizes[-1] > 1024:
            raise ValueError("batch sizes must start at 1, ascend, and not exceed 1024")
        return sizes

    @field_validator("cors_origins")
    @classmethod
    def _named(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?", origin):
                raise ValueError(f"{origin!r} is not an origin: give scheme and host in lower case, without a path")
        return origins

    @field_validator("front_ends")
    @classmethod
    def _possible(cls, count: int) -> int:
        if count > 1 and not hasattr(os, "memfd_create"):
            raise ValueError("several front ends need Linux, for shared memory")
        return count

    @field_validator("gpu_engine")
    @classmethod
    def _promised(cls, engine: str, info: ValidationInfo) -> str:
        if engine != "cuda" and info.data.get("device") != "cuda":
            raise ValueError("it needs STRIATE_DEVICE=cuda; otherwise the service could silently run without it")
        return engine


def load_settings() -> Settings:
    """Returns the settings. Raises InvalidSettings, which names the variable, its value and what is allowed."""
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise InvalidSettings(f"{', '.join(unknown)} is not a setting; the settings are {', '.join(sorted(known))}.")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        raise InvalidSettings(f"{variable}={first['input']!s:.200}: {first['msg']}.") from error


def hand_down(*, engine_socket: Path) -> None:
    """Passes the engine's socket to child processes, and makes BentoML restart processes that end."""
    os.environ[PREFIX + "ENGINE_SOCKET"] = str(engine_socket)
    # With this set, as in its images, BentoML does not restart front ends that end, until none is left.
    os.environ.pop("BENTOML_CONTAINERIZED", None)


def child_environment(**variables: str) -> dict[str, str]:
    """Returns the environment of a child process that imports this repository, wherever it is started."""
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **variables, "PYTHONPATH": search}


def check_models_folder(settings: Settings) -> None:
    """Raises InvalidSettings if the model folder is missing; not in load_settings, since a build has none."""
    if not settings.models.is_dir():
        raise InvalidSettings(f"{PREFIX}MODELS={settings.models}: no such folder (relative to {Path.cwd()}).")


def check_host(settings: Settings, host: str) -> None:
    """Raises InvalidSettings if the service would listen beyond this machine without keys or an explicit permission."""
    if settings.keys or settings.without_keys == "anywhere" or host == "localhost" or ip_address(host).is_loopback:
        return
    raise InvalidSettings(
        f"host {host} is reachable from the network and there are no API keys. Listen on 127.0.0.1, or name a key file "
        f"in {PREFIX}KEYS, or set {PREFIX}WITHOUT_KEYS=anywhere if a proxy or firewall controls access."
    )
