"""Tests of tracing, with a real OTLP receiver over HTTP and the application in this process."""

import asyncio
import gzip
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.http.application import create_app
from service.http.middleware.access_log import OTHER
from service.settings import InvalidSettings, Settings
from tests.conftest import Client
from tests.service.gated_sessions import Gate
from tests.service.image_files import form, grey
from tests.serving import served

pytestmark = pytest.mark.anyio
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = {"decode", "preprocess", "queue", "infer", "postprocess"}


class Collector:
    """An OTLP collector that stores the spans sent to its URL."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.service = ""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                assert self.path == "/v1/traces"
                collector.add(ExportTraceServiceRequest.FromString(plain))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.service = facts(resource.resource.attributes)["service.name"]
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    async def wait_for(self, count: int) -> list[Span]:
        async with asyncio.timeout(120):
            while len(self.spans) < count:
                await asyncio.sleep(0.02)
        return self.spans


def facts(attributes: object) -> dict[str, str]:
    return {each.key: each.value.string_value or str(each.value.int_value) for each in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    collector = Collector()
    threading.Thread(target=collector.server.serve_forever, daemon=True).start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


async def test_a_request_is_a_span_of_the_callers_trace_with_a_child_per_stage(
    serving: Client, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(trace_endpoint=collector.url) as http:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "mine"}
        answer = await http.post("/predict", files=form(grey(204), name="Mustermann.png"), headers=headers)
        spans = {span.name: span for span in await collector.wait_for(6)}
    assert collector.service == "striate"
    assert set(spans) == {"POST /predict", *STAGES}
    request = spans.pop("POST /predict")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    assert answer.headers["traceparent"] == f"00-{TRACE}-{request.span_id.hex()}-01"
    assert facts(request.attributes) == {
        "http.request.method": "POST", "http.route": "/predict", "http.response.status_code": "200",
        "striate.request_id": "mine", "striate.model": "brightness", "striate.model.version": "1.0",
    }  # fmt: skip
    for span in spans.values():
        assert (span.trace_id.hex(), span.parent_span_id) == (TRACE, request.span_id)
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano
    ends = {name: span.end_time_unix_nano for name, span in spans.items()}
    assert ends["decode"] <= ends["preprocess"] <= ends["queue"] <= ends["infer"] <= ends["postprocess"]
    line = next(line for line in capsys.readouterr().err.splitlines() if '"request_id":"mine"' in line)
    assert json.loads(line)["trace_id"] == TRACE
    assert "Mustermann" not in str(collector.spans)


@pytest.mark.parametrize(
    ("method", "path", "name", "status", "failed"),
    [
        ("GET", "/patients/Mustermann", f"GET {OTHER}", "404", Status.STATUS_CODE_UNSET),
        ("POST", "/predict", "POST /predict", "415", Status.STATUS_CODE_UNSET),
        ("GET", "/models/Mustermann", "GET /models/{name}", "404", Status.STATUS_CODE_UNSET),
    ],
)
async def test_an_invalid_request_is_a_span_without_the_callers_text(
    serving: Client, collector: Collector, method: str, path: str, name: str, status: str, failed: int
) -> None:
    async with serving(trace_endpoint=collector.url) as http:
        await http.request(method, path, content=b"no image")
        (span,) = await collector.wait_for(1)
    assert (span.name, facts(span.attributes)["http.response.status_code"]) == (name, status)
    assert span.status.code == failed
    assert "Mustermann" not in str(span)
    assert "error.type" in facts(span.attributes)


async def test_a_server_error_is_a_failed_span(serving: Client, collector: Collector) -> None:
    gate = Gate()
    async with serving(gate.session, trace_endpoint=collector.url, timeout_s=1.5) as http:
        gate.shut()
        assert (await http.post("/predict", files=form(grey(1)))).status_code == 504
        gate.open()
        spans = await collector.wait_for(3)
    assert {span.name for span in spans} == {
        "POST /predict",
        "decode",
        "preprocess",
    }  # it waited when its time was over
    request = next(span for span in spans if span.kind == Span.SPAN_KIND_SERVER)
    assert request.status.code == Status.STATUS_CODE_ERROR
    assert facts(request.attributes)["error.type"] == "deadline_passed"


async def test_unsampled_requests_and_probes_are_not_exported(serving: Client, collector: Collector) -> None:
    async with serving(trace_endpoint=collector.url) as http:
        unsampled = await http.post("/predict", files=form(grey(1)), headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
        for probe in ("/livez", "/readyz", "/metrics"):
            assert "traceparent" not in (await http.get(probe)).headers
        await http.get("/models")
        await collector.wait_for(1)
    assert unsampled.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert unsampled.headers["traceparent"].endswith("-00")
    assert [span.name for span in collector.spans] == ["GET /models"]


async def test_a_large_image_makes_a_bounded_number_of_spans(serving: Client, collector: Collector) -> None:
    async with serving(trace_endpoint=collector.url, tile_px=64) as http:
        image = grey(0, height=1024, width=1024)  # 256 tiles
        answer = await http.post("/segment", files=form(image), data={"model": "blobs"}, timeout=60)
        assert answer.status_code == 200
        spans = await collector.wait_for(201)
        await asyncio.sleep(0.2)
    assert len(spans) == 201


async def test_without_a_collector_nothing_is_traced(serving: Client) -> None:
    async with serving() as http:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        assert "traceparent" not in (await http.get("/models", headers=headers)).headers


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_opentelemetry_variables_enable_tracing(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    assert not Settings().traced
    monkeypatch.setenv(variable, "http://collector:4318")
    assert Settings().traced


@pytest.mark.slow
@pytest.mark.parametrize("front_ends", ["1", "2"])  # of two, the engine runs the network: queue and infer are its own
async def test_the_real_service_exports_remaining_spans_on_shutdown(
    root: Path, tmp_path: Path, collector: Collector, front_ends: str
) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    variables["STRIATE_FRONT_ENDS"] = front_ends
    with served(tmp_path / "log", STRIATE_MODELS=str(root), **variables) as (http, _):
        answer: httpx.Response = await asyncio.to_thread(http.post, "/predict", files=form(grey(204)))
        assert answer.status_code == 200
        assert not collector.spans
    spans = await collector.wait_for(6)
    assert {span.name for span in spans} == {"POST /predict", *STAGES}


def test_without_the_extra_the_service_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "service.http.middleware.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InvalidSettings, match="needs the extra 'trace'"):
        create_app(Settings(trace_endpoint="http://collector:4318"))
