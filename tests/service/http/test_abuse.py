"""Ways in that must not be there: files, URLs, pickles, forms and JSON without end; a start that is open to all."""

import io
import os
import pickle
import subprocess
from pathlib import Path

import httpx
import pytest

from service.security.api_keys import new_key
from service.settings import InvalidSettings, Settings, check_host
from tests.conftest import Client
from tests.service.http.live_server import exchange, statuses
from tests.service.image_files import form, grey
from tests.serving import ROOT, command, environment, free_port, served

ROUTES = ("/predict", "/cam", "/segment", "/v2/models/brightness/infer")


class Payload:
    """Makes the file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mknod, (str(self._path),)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["application/vnd.bentoml+pickle", "application/x-pickle", "application/octet-stream"])
async def test_a_pickle_stays_bytes(serving: Client, tmp_path: Path, kind: str) -> None:
    trap = tmp_path / "sprung"
    pickled = pickle.dumps(Payload(trap))
    pickle.loads(pickled)  # it does work
    trap.unlink()
    async with serving() as http:
        for route in ROUTES:
            for headers in ({}, {"Payload-Container": "NdarrayContainer", "Bento-Name": "striate"}):
                answer = await http.post(route, content=pickled, headers={"Content-Type": kind, **headers})
                assert 400 <= answer.status_code < 500
        part = [("image", ("a.pkl", pickled, kind))]
        assert (await http.post("/predict", files=part)).status_code == 415
    assert not trap.exists()


PLACES = [
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "....//etc/passwd",
    "brightness/../blobs",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "brightness\0.png",
    "~root/.ssh/id_rsa",
]


@pytest.mark.anyio
@pytest.mark.parametrize("place", PLACES)
async def test_a_name_opens_no_file(serving: Client, place: str) -> None:
    async with serving() as http:
        asked = [
            await http.post("/predict", files=form(grey(1)), data={"model": place}),
            await http.post("/cam", files=form(grey(1)), data={"label": place}),
            await http.post("/predict", files={"image": (place.replace("\0", ""), b"no image")}),
            await http.post("/predict", content=place.encode(), headers={"Content-Type": "image/png"}),
            await http.post("/predict", files=[("image", (None, place))]),
            await http.get("/models/" + place.replace("\0", "%00").replace("/", "%2f")),
            await http.get("/v2/models/" + place.replace("\0", "%00").replace("/", "%2f") + "/ready"),
        ]
        assert all(400 <= answer.status_code < 500 for answer in asked), [answer.status_code for answer in asked]
        assert not any("root:" in answer.text for answer in asked)


def parts(count: int, head: str, content: bytes = b"1") -> bytes:
    return (
        b"".join(b"--x\r\n" + head.format(n).encode() + b"\r\n\r\n" + content + b"\r\n" for n in range(count))
        + b"--x--"
    )


TEXT = 'Content-Disposition: form-data; name="f{}"'
FILE = 'Content-Disposition: form-data; name="image"; filename="{}.png"'
FORMS = {
    "10,000 fields": parts(10_000, TEXT),
    "10,000 files": parts(10_000, FILE),
    "100,000 empty parts": parts(100_000, TEXT, b""),
    "a header without end": b"--x\r\n" + b"X-Note: " + b"a" * 10**7 + b"\r\n\r\n1\r\n--x--",
    "100,000 headers": b"--x\r\n" + b"X-Note: a\r\n" * 100_000 + b"\r\n1\r\n--x--",
    "a name without end": parts(1, TEXT.format("a" * 10**6) + "{}"),
    "a form in a form": b'--x\r\nContent-Disposition: form-data; name="image"\r\n'
    b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n--y--\r\n--x--",
    "nothing but delimiters": b"--x\r\n" * 200_000,
    "no closing delimiter": parts(3, TEXT)[:-2],
    "an empty form": b"--x--",
    "nothing": b"",
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", FORMS)
async def test_a_form_without_measure_is_refused(serving: Client, case: str) -> None:
    async with serving() as http:
        answer = await http.post(
            "/predict", content=FORMS[case], headers={"Content-Type": "multipart/form-data; boundary=x"}, timeout=60
        )
        after = await http.post("/predict", files=form(grey(204)))
    assert answer.status_code == 400
    assert answer.json()["code"] in ("malformed_request", "missing_field")
    assert len(answer.content) < 1000  # it does not come back
    assert after.status_code == 200


def tensor(shape: str, data: bytes = b"1") -> bytes:
    return f'{{"inputs":[{{"name":"x","datatype":"FP32","shape":[{shape}],"data":['.encode() + data + b"]}]}"


JSONS = {
    "nested without end": b"[" * 10**6,
    "nested and closed": b'{"inputs":' + b"[" * 10**5 + b"]" * 10**5 + b"}",
    "a number of a million digits": tensor("1", b"9" * 10**6),
    "a shape that overflows": tensor("4294967296,4294967296,8,8"),
    "a negative shape": tensor("-1,1,8,8"),
    "100,000 inputs": b'{"inputs":[' + b",".join([b'{"name":"x"}'] * 100_000) + b"]}",
    "a key a million times": b"{" + b",".join([b'"inputs":[]'] * 10**6) + b"}",
    "no UTF-8": b'{"inputs":"\xff\xfe"}',
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", JSONS)
async def test_json_without_measure_is_refused(serving: Client, case: str) -> None:
    async with serving() as http:
        answer = await http.post("/v2/models/brightness/infer", content=JSONS[case], timeout=60)
        after = await http.post("/predict", files=form(grey(204)))
    assert 400 <= answer.status_code < 500, answer.text
    assert len(answer.content) < 2000
    assert after.status_code == 200


@pytest.mark.parametrize(
    ("host", "settings", "starts"),
    [
        ("127.0.0.1", {}, True), ("127.0.0.2", {}, True), ("::1", {}, True), ("localhost", {}, True),
        ("0.0.0.0", {}, False), ("::", {}, False), ("192.168.1.5", {}, False),
        ("0.0.0.0", {"keys": "keys.toml"}, True), ("0.0.0.0", {"without_keys": "anywhere"}, True),
    ],
)  # fmt: skip
def test_without_keys_the_service_stays_at_home(host: str, settings: dict[str, str], starts: bool) -> None:
    if starts:
        check_host(Settings(**settings), host)
        return
    with pytest.raises(
        InvalidSettings, match=rf"^host {host} is reachable from the network and there are no API keys\. .*STRIATE"
    ):
        check_host(Settings(**settings), host)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["python -m service --host", "bentoml serve", "bentoml serve, by the environment"])
def test_a_start_that_is_open_to_all_ends_with_a_sentence(root: Path, how: str) -> None:
    port = free_port()
    serve = [command(port)[0], "-m", "bentoml", "serve", "service.app:Striate", "--port", str(port)]
    called, variables = {
        "python -m service --host": ([*command(port), "--host", "0.0.0.0"], {}),
        "bentoml serve": (serve, {}),  # BentoML's own default
        "bentoml serve, by the environment": (serve, {"BENTOML_HOST": "0.0.0.0"}),
    }[how]
    ended = subprocess.run(
        called, cwd=ROOT, env=environment(STRIATE_MODELS=str(root), **variables), capture_output=True, timeout=240
    )
    assert ended.returncode == 1
    assert "striate: host 0.0.0.0 is reachable from the network and there are no API keys." in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()


@pytest.mark.slow
def test_bad_keys_end_a_start_with_a_sentence(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("[keys.a]")
    ended = subprocess.run(
        command(free_port()),
        cwd=ROOT,
        env=environment(STRIATE_MODELS=str(root), STRIATE_KEYS=str(file)),
        capture_output=True,
        timeout=240,
    )
    assert ended.returncode == 1
    assert "striate: STRIATE_KEYS: keys.a.sha256: Field required" in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()


@pytest.mark.slow
def test_the_doors_of_a_service_that_runs(root: Path, tmp_path: Path) -> None:
    """As BentoML starts it: keys, the audit log, and the connection's bounds."""
    keys, audit = tmp_path / "keys.toml", tmp_path / "audit.jsonl"
    key, lines = new_key("viewer", ["infer"])
    keys.write_text(lines)
    variables = {"STRIATE_MODELS": str(root), "STRIATE_KEYS": str(keys), "STRIATE_AUDIT": str(audit)}
    with served(tmp_path / "log", **variables) as (http, _):
        port = int(httpx.URL(http.base_url).port or 0)
        assert http.post("/predict", files=form(grey(204))).status_code == 401
        answered = http.post("/predict", files=form(grey(204)), headers={"X-API-Key": key})
        refused = exchange(port, b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
        keys.write_text("# nobody")
        os.utime(keys, ns=(0, 0))
        while http.get("/models", headers={"X-API-Key": key}).status_code == 200:
            pass  # within a second
    assert answered.json()["classes"][0]["label"] == "bright"
    assert statuses(refused) == [400]
    assert b'"code":"malformed_request"' in refused
    assert "server:" not in io.BytesIO(refused).read().decode().lower()
    assert len(audit.read_bytes().splitlines()) == 1
    assert key not in (tmp_path / "log").read_text()
