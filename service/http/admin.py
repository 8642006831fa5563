"""What an operator may ask over HTTP: Triton's model repository extension, rolling back, and shares of the traffic."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.model_info import Index, IndexEntry, IndexRequest, LoadRequest, Nothing, RolloutRequest, UnloadRequest
from service.errors import CannotServe, InvalidOption, RolloutsNotWritable, UnknownModel
from service.http.model_listing import entry, names, versions
from service.http.request import bounded
from service.http.responses import json_response
from service.lifecycle import Runtime
from service.pipeline.memory_budget import MemoryBudget
from service.repository import rollouts
from service.repository.rollouts import Rollout
from service.repository.state import Repository, differs
from service.scheduling.deadline import Deadline

Asked = TypeVar("Asked", bound=BaseModel)
_MOST_BYTES = 2**16
_MODEL = "/v2/repository/models/{name}"


class AdminRoutes:
    """The handlers. A change is kept in the folder of models, followed, and taken back where it cannot be followed."""

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
        """Every version of every model, and whether it is ready."""
        asked, repository = await _body(request, IndexRequest), self._runtime.repository
        entries = [
            IndexEntry(
                name=name,
                version=version.version,
                state="READY" if version.role else "UNAVAILABLE",
                reason=version.reason or ("" if version.role else "not loaded"),
            )
            for name in names(repository)
            for version in versions(repository, name)
            if version.role or not asked.ready
        ]
        return json_response(Index(entries))

    async def load(self, request: Request) -> Response:
        """Serves a model again, or the version named from now on; what was refused is tried once more."""
        version = (await _body(request, LoadRequest)).parameters.version

        def edit(plan: Rollout, now: Repository) -> Rollout:
            plan = plan.model_copy(update={"unloaded": False})
            return rollouts.promoted(plan, version, serving=_serving(now, _name(request))) if version else plan

        return await self._change(request, edit)

    async def unload(self, request: Request) -> Response:
        """Serves a model no more, until it is loaded again."""
        await _body(request, UnloadRequest)
        return await self._change(request, lambda plan, _: plan.model_copy(update={"unloaded": True}))

    async def rollback(self, request: Request) -> Response:
        """Serves the version that served before."""
        await _body(request, Nothing)
        name = _name(request)

        def edit(plan: Rollout, now: Repository) -> Rollout:
            known = [version.version for version in versions(now, name) if version.state != "refused"]
            return rollouts.rolled_back(name, plan, serving=_serving(now, name), known=known)

        return await self._change(request, edit)

    async def rollout(self, request: Request) -> Response:
        """Which version serves, which answers a share of the requests, which is a shadow; what is not named ends."""
        asked = await _body(request, RolloutRequest)

        def edit(plan: Rollout, now: Repository) -> Rollout:
            pinned = rollouts.promoted(plan, asked.pinned, serving=_serving(now, _name(request)))
            return pinned.model_copy(update={"canary": asked.canary, "shadow": asked.shadow, "unloaded": False})

        return await self._change(request, edit)

    async def _change(self, request: Request, edit: Callable[[Rollout, Repository], Rollout]) -> Response:
        """Raises UnknownModel, CannotServe, PlansNotWritable, BadPlans; DeadlinePassed, and follows it later."""
        name, before = _name(request), self._runtime.repository
        if name not in names(before):
            raise UnknownModel(name, served=before.served)
        former: list[Rollout] = []

        def edited(plan: Rollout) -> Rollout:
            former.append(plan)
            return edit(plan, before)

        now = await self._follow(name, edited)
        if problem := unmet(now, name):
            await self._follow(name, lambda _: former[0])
            raise CannotServe(name, *problem)
        return json_response(entry(now, name))

    async def _follow(self, name: str, edit: Callable[[Rollout], Rollout]) -> Repository:
        settings = self._runtime.settings
        try:
            changed = await run_in_threadpool(rollouts.change, settings.models, name, edit)
        except OSError as error:
            raise RolloutsNotWritable(error.strerror or str(error)) from error
        async with Deadline.after(settings.timeout_s).enforced():
            return await self._runtime.settled(changed.revision)


def unmet(now: Repository, name: str) -> tuple[str, str] | None:
    """The first version that a model's plan names and that does not do what it says, and why."""
    plan, canary, shadow = now.plan(name), now.canaries.get(name), now.shadows.get(name)
    if plan.unloaded:
        return None
    serving = _serving(now, name)
    if serving is None or plan.pinned not in (None, serving):
        return plan.pinned or "any version", _reason(now, name, plan.pinned)
    if plan.canary and (canary is None or canary.model.spec.version != plan.canary.version):
        return plan.canary.version, _reason(now, name, plan.canary.version)
    if plan.shadow and (shadow is None or shadow.spec.version != plan.shadow):
        return plan.shadow, _reason(now, name, plan.shadow)
    return None


def _reason(now: Repository, name: str, version: str | None) -> str:
    for refused in now.refused:
        if refused.name == name and version in (None, refused.version):
            return refused.reason
    for spare in now.spare:
        if (spare.package.spec.name, spare.package.spec.version) == (name, version):
            return differs(now.served[name].spec, spare.package.spec)
    answering = now.answering(name) if name in now.served else ()
    answers = any(model.spec.version == version for model in answering)
    return "it answers already" if answers else "there is no such version"


def _serving(repository: Repository, name: str) -> str | None:
    return repository.served[name].spec.version if name in repository.served else None


def _name(request: Request) -> str:
    return str(request.path_params["name"])


async def _body(request: Request, kind: type[Asked]) -> Asked:
    """JSON, or nothing at all. Raises InvalidOption, TooManyBytes."""
    with MemoryBudget(_MOST_BYTES).share() as share:
        body = await bounded(request, _MOST_BYTES, share)
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidOption(field, first["input"], first["msg"]) from error
