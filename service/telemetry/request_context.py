"""Request context: facts about a request in progress."""

import time
from dataclasses import dataclass, field

from service.scheduling.work import OnStage


@dataclass(slots=True)
class RequestContext:
    """One request; handlers fill in the model and the images, for the audit log. on_stage: see Work."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    trace_id: str | None = None
    on_stage: OnStage | None = None
    model: str | None = None
    model_version: str | None = None
    model_sha256: str | None = None
    images: tuple[bytes | memoryview, ...] = ()
    key: str | None = None
    status: int = 0
    error: str | None = None
