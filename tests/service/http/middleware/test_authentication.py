"""Tests of authentication: scopes, missing and unknown keys, and rate limits."""

from functools import partial
from pathlib import Path

import httpx
import pytest

from service.http.middleware.authentication import required_scope
from service.security.api_keys import new_key
from tests.conftest import Client
from tests.service.engine.in_process_engine import engine
from tests.service.image_files import form, grey

pytestmark = pytest.mark.anyio
KEYS = {scope: new_key(scope, [scope]) for scope in ("infer", "operate", "metrics")}


@pytest.fixture
def keys(tmp_path: Path) -> str:
    slow = new_key("slow", ["infer"], rate_per_s=0.001)
    KEYS["slow"] = slow[0], slow[1] + "burst = 2\n"
    path = tmp_path / "keys.toml"
    path.write_text("".join(lines for _, lines in KEYS.values()))
    return str(path)


def bearer(scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[scope][0]}"}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/livez", None), ("GET", "/readyz", None), ("GET", "/healthz", None), ("GET", "/", None),
        ("GET", "/v2/health/live", None), ("GET", "/v2/health/ready", None),
        ("GET", "/web/main.js", None), ("GET", "/web", "infer"), ("GET", "/models/a/files/sample.png", "infer"),
        ("GET", "/metrics", "metrics"),
        ("POST", "/predict", "infer"), ("POST", "/cam", "infer"), ("POST", "/segment", "infer"),
        ("GET", "/models", "infer"), ("GET", "/models/a", "infer"), ("GET", "/docs.json", "infer"),
        ("POST", "/v2/models/a/infer", "infer"), ("GET", "/v2/models/stats", "infer"),
        ("POST", "/v2/repository/index", "operate"), ("POST", "/v2/repository/models/a/load", "operate"),
        ("POST", "/models/a/rollback", "operate"), ("DELETE", "/models/a", "operate"),
        ("GET", "/livez/", "infer"), ("GET", "//metrics", "infer"), ("GET", "/nowhere", "infer"),  # no route: closed
    ],
)  # fmt: skip
def test_the_scope_of_each_path(method: str, path: str, scope: str | None) -> None:
    assert required_scope(method, path) == scope


async def test_a_key_admits_only_its_scopes(serving: Client, keys: str) -> None:
    asked = {"infer": ("GET", "/models"), "metrics": ("GET", "/metrics"), "operate": ("POST", "/v2/repository/index")}
    async with serving(keys=keys) as http:
        for scope in asked:
            for needs, (method, path) in asked.items():
                answer = await http.request(method, path, headers=bearer(scope))
                if scope == needs:
                    assert answer.status_code not in (401, 403), path
                    continue
                assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
                assert needs in answer.headers["WWW-Authenticate"]
                assert f"'{scope}'" in answer.json()["error"]


async def test_without_a_key_only_health_answers(serving: Client, keys: str) -> None:
    async with serving(keys=keys) as http:
        for path in ("/livez", "/readyz", "/healthz"):
            assert (await http.get(path)).status_code == 200
        for path in ("/models", "/metrics", "/docs.json", "/nowhere", "/livez/"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (401, "key_missing")
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="striate"'
        for key in ("wrong", "", "striate_" + "A" * 43, "\u00e9"):
            answer = await http.post("/predict", files=form(grey(9)), headers=[(b"x-api-key", key.encode())])
            assert answer.status_code == 401


async def test_either_header_carries_the_key(serving: Client, keys: str) -> None:
    async with serving(keys=keys) as http:
        by_bearer = await http.post("/predict", files=form(grey(204)), headers=bearer("infer"))
        by_api_key = await http.post("/predict", files=form(grey(204)), headers={"X-API-Key": KEYS["infer"][0]})
        by_query = await http.post(
            f"/predict?key={KEYS['infer'][0]}", files=form(grey(204))
        )  # a query string is logged
    assert by_bearer.json()["classes"] == by_api_key.json()["classes"]
    assert by_query.status_code == 401


async def test_a_rate_limited_key_gets_retry_after(serving: Client, keys: str) -> None:
    async with serving(keys=keys) as http:
        answers = [await http.get("/models", headers=bearer("slow")) for _ in range(4)]
        others = await http.get("/models", headers=bearer("infer"))
        metrics = (await http.get("/metrics", headers=bearer("metrics"))).text
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[2].json()["code"] == "rate_limited"
    assert 900 < int(answers[2].headers["Retry-After"]) <= 1000
    assert others.status_code == 200
    assert 'striate_rejections_total{reason="rate_limited"} 2.0' in metrics


async def test_front_ends_share_the_rate_limit_of_a_key(serving: Client, keys: str, root: Path) -> None:
    async with engine(root) as (path, _):
        front_end = partial(serving, keys=keys, engine_socket=str(path))
        async with front_end() as one, front_end() as other:
            answers = [await http.get("/models", headers=bearer("slow")) for http in (one, other, one, other)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]


async def test_rejected_requests_are_counted_without_their_key(serving: Client, keys: str) -> None:
    async with serving(keys=keys) as http:
        refused = [await http.get("/models", headers={"X-API-Key": "Erika"}) for _ in range(3)]
        metrics = (await http.get("/metrics", headers=bearer("metrics"))).text
    assert 'striate_errors_total{code="key_unknown"} 3.0' in metrics
    assert all("Erika" not in text for text in (metrics, *(answer.text for answer in refused)))
    assert all(isinstance(answer, httpx.Response) and answer.headers["X-Request-ID"] for answer in refused)
