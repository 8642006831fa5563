"""Which of a model's versions the protocol serves: those that answer; a shadow and what is not loaded are not there."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Client
from tests.service.http.openinference.requests import PROBABILITIES, ask, numbers, prepared, tensor
from tests.service.repository.versions import call, write_version

pytestmark = pytest.mark.anyio
MODEL = "/v2/models/brightness"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """1.0 serves, 2.0 is its canary, 3.0 a shadow, 4.0 is not loaded, 5.0 is refused."""
    for number, like in (("1.0", ""), ("2.0", ""), ("3.0", ""), ("4.0", "1.0"), ("5.0", "1.0")):
        package = write_version(tmp_path, number, like=like)
    package.weights.write_bytes(b"")
    return tmp_path


async def test_the_versions_that_answer_are_served_and_no_others(serving: Client, models: Path) -> None:
    body = ask(tensor(prepared(0.8)), PROBABILITIES)
    async with serving(models=models) as http:
        said = {"pinned": "1.0", "canary": {"version": "2.0", "percent": 100}, "shadow": "3.0"}
        assert (await call(http, "rollout", said)).status_code == 200
        for number in ("1.0", "2.0"):
            there = f"{MODEL}/versions/{number}"
            assert (await http.get(f"{there}/ready")).status_code == 200
            assert (await http.get(there)).json()["versions"] == ["1.0", "2.0"]
            answer = await http.post(f"{there}/infer", json=body)
            assert answer.json()["model_version"] == number  # whatever the canary's share
            (stats,) = (await http.get(f"{there}/stats")).json()["model_stats"]
            assert (stats["version"], stats["inference_count"]) == (number, 1)
            assert np.isfinite(numbers(answer)).all()
        for number in ("3.0", "4.0", "5.0", "9.0"):
            there = f"{MODEL}/versions/{number}"
            answers = [await http.get(f"{there}{what}") for what in ("", "/ready", "/stats")]
            answers.append(await http.post(f"{there}/infer", json=body))
            assert {(each.status_code, each.json()["code"]) for each in answers} == {(404, "unknown_version")}
        assert (await http.get(MODEL)).json()["versions"] == ["1.0", "2.0"]
        assert (await http.post(f"{MODEL}/infer", json=body)).json()["model_version"] == "2.0"  # all of the share
        for path in (f"{MODEL}/stats", "/v2/models/stats"):
            told = (await http.get(path)).json()["model_stats"]
            assert [(each["version"], each["inference_count"]) for each in told] == [("1.0", 1), ("2.0", 2)]
