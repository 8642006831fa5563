"""Well-behaved callers: each asks one question again and again, and compares every answer with the first one."""

import gzip
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

from tests.service.image_files import grey
from tests.service.request_mixture import same

STARTER = Path(__file__).parents[3] / "models" / "starter"
OF_ONE_ANSWER = {"request_id", "timings_ms", "version", "sha256"}  # a model's newer version may answer the same
PAUSE_S = 0.15
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Question:
    """A request: without content it is a GET, over a connection of its own, as a probe is."""

    path: str
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "image/png"})

    def asked(self, http: httpx.Client) -> httpx.Response:
        if not self.content:
            return http.get(self.path, headers={"Connection": "close"})
        return http.post(self.path, content=self.content, headers=self.headers)


def sample(model: str) -> bytes:
    return (STARTER / model / "1.0.0" / "sample.png").read_bytes()


def tensor(model: str) -> bytes:
    """A model's test tensor as a request of the Open Inference Protocol."""
    values = np.load(STARTER / model / "1.0.0" / "test_input.npy").astype(np.float32)
    given = {"name": "image", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}
    return json.dumps({"inputs": [given]}).encode()


QUESTIONS = {
    "predict": Question("/predict?model=pneumonia", sample("pneumonia")),
    "cam": Question("/cam?model=digits&format=overlay", sample("digits")),
    "segment": Question("/segment?model=nuclei", sample("nuclei")),
    "infer": Question("/v2/models/pneumonia/infer", tensor("pneumonia"), JSON),  # 389 KB
    "infer what is compressed": Question(
        "/v2/models/digits/infer", gzip.compress(tensor("digits")), JSON | {"Content-Encoding": "gzip"}
    ),
    "predict with what is replaced": Question("/predict?model=brightness", grey(204)),
    "livez": Question("/livez"),
    "readyz": Question("/readyz"),
}


@dataclass
class Told:
    """seconds: of each right answer, by question. wrong, lost: what else came, or why nothing did.

    alone: seconds of each question before there were others.
    """

    alone: dict[str, float]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def percentile(self, share: float, name: str) -> float:
        return float(np.quantile(self.seconds[name], share))

    def report(self) -> str:
        lines = (
            f"{name}: {len(taken)} right, p50 {np.median(taken):.3f} s, p99 {self.percentile(0.99, name):.3f} s, "
            f"longest {max(taken):.3f} s, alone {self.alone[name]:.3f} s"
            for name, taken in self.seconds.items()
        )
        return "\n".join([*lines, f"wrong {len(self.wrong)} {self.wrong[:3]}, lost {len(self.lost)} {self.lost[:9]}"])


def content_of(response: httpx.Response) -> Any:
    """What a right answer says, without what no two answers share. Raises ValueError for any other."""
    if response.status_code != 200:
        raise ValueError(f"{response.status_code} {response.text[:200]}")
    if response.headers["Content-Type"] != "application/json":
        return response.content
    return _shared(response.json())


def _shared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shared(inner) for key, inner in value.items() if key not in OF_ONE_ANSWER}
    return [_shared(inner) for inner in value] if isinstance(value, list) else value


def seconds_alone(http: httpx.Client) -> dict[str, float]:
    """The middle one of five answers' times, of each question."""
    return {name: median(_timed(http, question)[0] for _ in range(5)) for name, question in QUESTIONS.items()}


def _timed(http: httpx.Client, question: Question) -> tuple[float, Any]:
    """Returns the seconds until a right answer, and its content. Raises ValueError, httpx.TransportError."""
    started = time.perf_counter()
    content = content_of(question.asked(http))
    return time.perf_counter() - started, content


@contextmanager
def asking(http: httpx.Client) -> Iterator[Told]:
    """One caller for each question, until the block ends."""
    told, ended = Told(seconds_alone(http)), threading.Event()
    expected = {name: _timed(http, question)[1] for name, question in QUESTIONS.items()}
    threads = [
        threading.Thread(target=_ask, args=(http, name, expected[name], told, ended), daemon=True) for name in QUESTIONS
    ]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _ask(other: httpx.Client, name: str, expected: Any, told: Told, ended: threading.Event) -> None:
    taken = told.seconds[name] = []
    with httpx.Client(base_url=other.base_url, headers=other.headers, timeout=60) as http:
        while not ended.wait(PAUSE_S):
            try:
                seconds, content = _timed(http, QUESTIONS[name])
            except (httpx.TransportError, ValueError) as error:
                told.lost.append(f"{name}: {type(error).__name__} {error}")
                continue
            taken.append(seconds)
            if not same(content, expected):
                told.wrong.append(f"{name}: {content!r:.300}")
