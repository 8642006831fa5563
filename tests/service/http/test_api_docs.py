"""docs/api.md says what the code does."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from service.http.application import create_app
from service.http.routes import Routes
from service.pipeline.prepare import WarningCode
from service.settings import Settings
from service.tasks.activations import ActivationOptions
from service.tasks.cam import CamOptions
from service.tasks.classification import PredictOptions
from service.tasks.segmentation import SegmentOptions

DOCS = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.parametrize(
    ("route", "options"),
    [
        ("/predict", PredictOptions),
        ("/cam", CamOptions),
        ("/activations", ActivationOptions),
        ("/segment", SegmentOptions),
    ],
)
def test_every_field_is_documented_with_its_sentence(route: str, options: type[BaseModel]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", section(f"`POST {route}`"), re.MULTILINE)
    documented = {name: (default, sentence) for name, default, sentence in rows}
    assert list(documented) == ["image", "model", *options.model_fields]
    for name, field in options.model_fields.items():
        default, sentence = documented[name]
        if field.default is not None:
            assert default == f"`{field.default}`"
        assert sentence == (field.description or documented[name][1])


def test_every_warning_is_documented() -> None:
    assert re.findall(r"^\| `(\w+)` \|", section("Warnings"), re.MULTILINE) == list(get_args(WarningCode))


def test_every_route_is_documented() -> None:
    app = create_app(Settings())
    for route in app.routes:
        methods = route.methods - {"HEAD"}
        assert f"`{next(iter(methods))} {route.path}`" in DOCS, route.path


def test_every_handler_says_what_it_answers() -> None:
    app = create_app(Settings())
    assert all(route.endpoint.__doc__ for route in app.routes)
    paths = {route.path.replace("/versions/{version}", "") for route in app.routes}
    assert len({route.endpoint for route in app.routes}) == len(paths) - 1  # /healthz is /livez
    assert Routes.__doc__
