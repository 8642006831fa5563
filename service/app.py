"""The BentoML service: `bentoml serve service.app:Striate`. The only file that knows BentoML."""

import sys
from typing import Any

import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import StriateError
from service.announce import lines
from service.repository import Repository
from service.routes import create_app
from service.session import check_device
from service.settings import Settings, check_models_folder, load_settings


def _settings() -> Settings:
    try:
        return load_settings()
    except StriateError as error:
        sys.exit(f"striate: {error}")


def _announce(repository: Repository) -> None:
    """Says on standard output what serves where, and how to ask it."""
    url = BentoMLContainer.remote_runner_mapping.get().get("striate", "http://127.0.0.1:3000")
    sys.stdout.write("".join(f"{line}\n" for line in lines(repository, url=url)))
    sys.stdout.flush()


SETTINGS = _settings()
APP = create_app(SETTINGS, on_ready=_announce)


class Ours:
    """Gives every request to our application: BentoML's own /readyz, /livez and 404 have other shapes than ours."""

    def __init__(self, app: ASGIApp, *, ours: ASGIApp) -> None:
        self._theirs, self._ours = app, ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._ours if scope["type"] == "http" else self._theirs)(scope, receive, send)


@bentoml.asgi_app(APP, path="/")  # BentoML runs its lifespan
@bentoml.service(
    name="striate",
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    traffic={"timeout": SETTINGS.timeout_s + 30},  # ours comes first, and says more
)
class Striate:
    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check() -> None:
        """Runs once, before any worker: what would fail in every worker ends the process here, with its reason."""
        try:
            check_models_folder(SETTINGS)
            check_device(SETTINGS.device)
        except StriateError as error:
            sys.exit(f"striate: {error}")


_service: Any = Striate
_service.add_asgi_middleware(Ours, ours=APP)
