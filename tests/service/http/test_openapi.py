"""The OpenAPI document: complete, and what the service does, by thousands of requests that schemathesis makes up."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from models.errors import StriateError
from service import __version__
from service.http.application import create_app
from service.http.errors import CallerGone, MethodNotAllowed, NoSuchRoute, members
from service.http.middleware.authentication import PUBLIC_PATHS, PUBLIC_PREFIX
from service.http.openapi import document
from service.pipeline.prepare import WarningCode
from service.security.api_keys import new_key
from service.settings import Settings
from tests.own_environment import COMPILING, environment_of
from tests.serving import ROOT, environment, served

DOCUMENT = document(version=__version__)
OPERATIONS = [
    (path, method, item[method]) for path, item in DOCUMENT["paths"].items() for method in {"get", "post"} & item.keys()
]
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "allow_header_conformance", "unsupported_method",
)  # fmt: skip
# 503 is what the document says of a model that an operator's request before has unloaded, 504 of an answer that a
# request wants within a millisecond (of `timeout`); 500 stays a failure.
CONFIGURATION = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 503, 504]\n'
VERSION_OF_IT = "4.32.5"


def codes(operation: dict) -> dict[str, str]:
    """code -> status, of an operation's errors."""
    refusals = {status: answer for status, answer in operation["responses"].items() if status != "200"}
    return {
        code: status
        for status, answer in refusals.items()
        for code in answer["content"]["application/json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
    }


def test_every_route_is_there_with_its_methods() -> None:
    served = create_app(Settings()).routes
    routes = {(route.path, method.lower()) for route in served for method in route.methods - {"HEAD"}}
    assert {(path, method) for path, method, _ in OPERATIONS} == routes


def test_the_codes_of_warnings_are_those_of_the_input_checks() -> None:
    schema = DOCUMENT["components"]["schemas"]["InputWarning"]["properties"]["code"]
    assert schema["enum"] == list(get_args(WarningCode))


def test_every_error_has_its_status_and_every_code_its_place() -> None:
    known = {error.code: str(error.status) for error in members(StriateError)}
    told = {code: status for _, _, operation in OPERATIONS for code, status in codes(operation).items()}
    assert told.items() <= known.items()
    elsewhere = {NoSuchRoute.code, MethodNotAllowed.code, CallerGone.code}  # of no operation, or never answered
    assert set(known) - set(told) == elsewhere


def test_what_needs_no_key_is_what_the_gate_leaves_open() -> None:
    is_open = PUBLIC_PATHS | {PUBLIC_PREFIX + "{file}"}
    assert {path for path, _, operation in OPERATIONS if "key_missing" not in codes(operation)} == is_open
    assert {path for path, _, operation in OPERATIONS if "security" not in operation} == is_open


@pytest.fixture(scope="module")
def schemathesis() -> Path:
    """The tool in an environment of its own, made once: it takes other versions of what the tests take too."""
    return environment_of(f"schemathesis-{VERSION_OF_IT}", f"schemathesis=={VERSION_OF_IT}") / "schemathesis"


def run(tool: Path, about: str, folder: Path, *options: str) -> int:
    """How many requests schemathesis made up, all of which were answered as the document says."""
    command = [
        tool, "run", about, "--seed", "1", "--continue-on-failure", "--no-color",
        "--suppress-health-check", "all", *options,
    ]  # fmt: skip
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    hooks = {"SCHEMATHESIS_HOOKS": "tests.service.http.schemathesis_hooks", "PYTHONPATH": str(ROOT), **COMPILING}
    done = subprocess.run(command, cwd=folder, env=environment(**hooks), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    (count,) = re.findall(r"^  (\d+) generated, \1 passed$", done.stdout, re.MULTILINE)
    return int(count)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("examples", "requests"), [(20, 1500), pytest.param(250, 5000, marks=pytest.mark.long)])
def test_made_up_requests_find_no_500_and_nothing_undocumented(
    schemathesis: Path, root: Path, tmp_path: Path, examples: int, requests: int
) -> None:
    models = shutil.copytree(root, tmp_path / "models")  # an operator's requests are written there
    options = ("--phases", "coverage,fuzzing", "--max-examples", str(examples), "--checks", ",".join(CHECKS))
    with served(tmp_path / "log", STRIATE_MODELS=str(models), STRIATE_LOG_LEVEL="warning") as (http, _):
        assert run(schemathesis, f"{http.base_url}/docs.json", tmp_path, *options) >= requests
        metrics = http.get("/metrics").text
    for route in ("/predict", "/cam", "/segment", "/v2/models/{name}/infer"):  # not all of them stopped at the door
        assert f'striate_requests_total{{route="{route}",status="200"}}' in metrics


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_with_keys_no_operation_answers_without_one_nor_beyond_its_scope(
    schemathesis: Path, root: Path, tmp_path: Path
) -> None:
    key, lines = new_key("viewer", ["infer", "metrics"])
    (tmp_path / "keys.toml").write_text(lines)
    (tmp_path / "docs.json").write_text(json.dumps(DOCUMENT))
    bearer = {"Authorization": f"Bearer {key}"}
    variables = {"STRIATE_MODELS": str(root), "STRIATE_KEYS": str(tmp_path / "keys.toml")}
    with served(tmp_path / "log", STRIATE_LOG_LEVEL="warning", **variables) as (http, _):
        assert http.get("/docs.json", headers=bearer).json() == DOCUMENT
        options = ("--url", str(http.base_url), "--phases", "fuzzing", "--max-examples", "10")
        options += ("--checks", ",".join((*CHECKS, "ignored_auth")))
        with_key = run(schemathesis, "docs.json", tmp_path, *options, "--header", f"Authorization: Bearer {key}")
        counted = http.get("/metrics", headers=bearer).text
        assert 'striate_requests_total{route="/predict",status="200"}' in counted
        assert re.search(r'{route="other",status="403"} [1-9]', counted)  # the operator's; the gate knows no route yet
        without = run(schemathesis, "docs.json", tmp_path, *options)
        metrics = http.get("/metrics", headers=bearer).text
    assert min(with_key, without) > 100
    assert re.search(r'{route="other",status="401"} \d{3}', metrics)
    answered = re.compile(r'^striate_requests_total{route="(?:/predict|/cam|/segment|/models.*|/v2/models.*)".*$', re.M)
    assert answered.findall(metrics) == answered.findall(counted)  # nothing was answered without a key
