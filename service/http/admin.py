"""Administration over HTTP: Triton's model repository extension, rollbacks, canaries and shadows."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.model_info import Index, IndexEntry, IndexRequest, LoadRequest, Nothing, RolloutRequest, UnloadRequest
from service.api.rollout import Rollout
from service.errors import InvalidOption
from service.http.model_listing import model_entry, model_names, model_versions
from service.http.request import read_body
from service.http.responses import json_response
from service.lifecycle import Runtime
from service.repository import rollouts
from service.repository.errors import CannotServe, RolloutsNotWritable, UnknownModel
from service.repository.state import Repository
from service.scheduling.work import Deadline

Body = TypeVar("Body", bound=BaseModel)
_MAX_BODY_BYTES = 2**16
_MODEL = "/v2/repository/models/{name}"


class AdminRoutes:
    """The handlers of administrative requests. A change is saved, applied, and reverted if it cannot be applied."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def table(self) -> list[Route]:
        return [
            Route("/v2/repository/index", self.index, methods=["POST"]),
            Route(f"{_MODEL}/load", self.load, methods=["POST"]),
            Route(f"{_MODEL}/unload", self.unload, methods=["POST"]),
            Route(f"{_MODEL}/rollback", self.rollback, methods=["POST"]),
            Route(f"{_MODEL}/rollout", self.rollout, methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """Lists every version of every model, and whether it is ready."""
        body, repository = await _body(request, IndexRequest), self._runtime.state.current
        entries = [
            IndexEntry(
                name=name,
                version=version.version,
                state="READY" if version.role else "UNAVAILABLE",
                reason=version.reason or ("" if version.role else "not loaded"),
            )
            for name in model_names(repository)
            for version in model_versions(repository, name)
            if version.role or not body.ready
        ]
        return json_response(Index(entries))

    async def load(self, request: Request) -> Response:
        """Loads a model again, or pins the named version; invalid packages are checked again."""
        version = (await _body(request, LoadRequest)).parameters.version

        def edit(rollout: Rollout, state: Repository) -> Rollout:
            rollout = rollout.model_copy(update={"unloaded": False})
            serving = _served_version(state, _name(request))
            return rollouts.promote(rollout, version, serving=serving) if version else rollout

        return await self._change(request, edit)

    async def unload(self, request: Request) -> Response:
        """Unloads a model until it is loaded again."""
        await _body(request, UnloadRequest)
        return await self._change(request, lambda rollout, _: rollout.model_copy(update={"unloaded": True}))

    async def rollback(self, request: Request) -> Response:
        """Serves the previous version again."""
        await _body(request, Nothing)
        name = _name(request)

        def edit(rollout: Rollout, state: Repository) -> Rollout:
            valid = [version.version for version in model_versions(state, name) if version.state != "invalid"]
            return rollouts.roll_back(name, rollout, serving=_served_version(state, name), valid=valid)

        return await self._change(request, edit)

    async def rollout(self, request: Request) -> Response:
        """Sets the served version, the canary and the shadow; those not named are removed."""
        body = await _body(request, RolloutRequest)

        def edit(rollout: Rollout, state: Repository) -> Rollout:
            pinned = rollouts.promote(rollout, body.pinned, serving=_served_version(state, _name(request)))
            return pinned.model_copy(update={"canary": body.canary, "shadow": body.shadow, "unloaded": False})

        return await self._change(request, edit)

    async def _change(self, request: Request, edit: Callable[[Rollout, Repository], Rollout]) -> Response:
        """Raises UnknownModel, RolloutError; DeadlinePassed, while the change is still followed later."""
        name, before = _name(request), self._runtime.state.current
        if name not in model_names(before):
            raise UnknownModel(name, served=before.served)
        previous: list[Rollout] = []

        def recording_edit(rollout: Rollout) -> Rollout:
            previous.append(rollout)
            return edit(rollout, before)

        state = await self._apply(name, recording_edit)
        if problem := unmet(state, name):
            await self._apply(name, lambda _: previous[0])
            version, reason = problem
            raise CannotServe(f"{name} {version} cannot serve: {reason}")
        return json_response(model_entry(state, name))

    async def _apply(self, name: str, edit: Callable[[Rollout], Rollout]) -> Repository:
        settings = self._runtime.settings
        try:
            changed = await run_in_threadpool(rollouts.change, settings.models, name, edit)
        except OSError as error:
            raise RolloutsNotWritable(error.strerror or str(error)) from error
        async with Deadline.after(settings.timeout_s).enforced():
            return await self._runtime.settled(changed.revision)


def unmet(state: Repository, name: str) -> tuple[str, str] | None:
    """Returns the first version whose role differs from the model's rollout, and the reason."""
    rollout, canary, shadow = state.rollout(name), state.canaries.get(name), state.shadows.get(name)
    if rollout.unloaded:
        return None
    serving = _served_version(state, name)
    if serving is None or rollout.pinned not in (None, serving):
        return rollout.pinned or "any version", _reason(state, name, rollout.pinned)
    if rollout.canary and (canary is None or canary.model.spec.version != rollout.canary.version):
        return rollout.canary.version, _reason(state, name, rollout.canary.version)
    if rollout.shadow and (shadow is None or shadow.spec.version != rollout.shadow):
        return rollout.shadow, _reason(state, name, rollout.shadow)
    return None


def _reason(state: Repository, name: str, version: str | None) -> str:
    for invalid in state.invalid:
        if invalid.name == name and version in (None, invalid.version):
            return invalid.reason
    for inactive in state.inactive:
        if (inactive.package.spec.name, inactive.package.spec.version) == (name, version):
            return rollouts.incompatibility(state.served[name].spec, inactive.package.spec)
    live = state.live_versions(name) if name in state.served else ()
    is_live = any(model.spec.version == version for model in live)
    return "it already answers requests" if is_live else "there is no such version"


def _served_version(repository: Repository, name: str) -> str | None:
    return repository.served[name].spec.version if name in repository.served else None


def _name(request: Request) -> str:
    return str(request.path_params["name"])


async def _body(request: Request, kind: type[Body]) -> Body:
    """Reads a JSON body, which may be empty. Raises InvalidOption, TooManyBytes."""
    body = await read_body(request, _MAX_BODY_BYTES)
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidOption(field, first["input"], first["msg"]) from error
