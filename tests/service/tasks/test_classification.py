"""Which classes, and the inner nodes above them, against a network whose answers are known."""

from pathlib import Path

import pytest

from tests import tiny
from tests.conftest import Client
from tests.service.image_files import form, grey

CLASSES = [{"label": "dark", "parent": "extreme"}, {"label": "bright", "parent": "extreme"}, {"label": "neither"}]
NODES = [{"label": "extreme", "name": "Extreme", "parent": "any"}, {"label": "any"}]


@pytest.mark.anyio
async def test_inner_nodes_are_the_sums_of_all_their_classes(tmp_path: Path, serving: Client) -> None:
    """Of the three classes one alone is asked for: the nodes count the others all the same."""
    tiny.brightness(tmp_path, classes=CLASSES, nodes=NODES)
    async with serving(models=tmp_path) as http:
        answer = (await http.post("/predict", files=form(grey(153)), data={"top_k": "1"})).json()
        facts = (await http.get("/models/brightness")).json()
    expected = tiny.brightness_of(0.6)
    assert [found["label"] for found in answer["classes"]] == ["bright"]
    both = pytest.approx(expected["dark"] + expected["bright"], abs=1e-6)
    assert answer["nodes"] == [
        {"label": "extreme", "name": "Extreme", "parent": "any", "probability": both},
        {"label": "any", "name": "any", "parent": None, "probability": both},
    ]
    assert [(known["label"], known["parent"]) for known in facts["nodes"]] == [("extreme", "any"), ("any", None)]
    assert [known["parent"] for known in facts["classes"]] == ["extreme", "extreme", None]


@pytest.mark.anyio
async def test_without_a_taxonomy_there_are_none(serving: Client) -> None:
    async with serving() as http:
        assert (await http.post("/predict", files=form(grey(153)))).json()["nodes"] == []
