"""Errors of the model repository: unknown models and versions, and rollouts that cannot be followed."""

from collections.abc import Iterable

from service.errors import InputError, RequestError, listed


class UnknownModel(InputError):
    status, code = 404, "unknown_model"

    def __init__(self, name: str, *, served: Iterable[str]) -> None:
        super().__init__(f"There is no model {name[:100]!r}; available models: {listed(served)}.")


class UnknownVersion(RequestError):
    status, code = 404, "unknown_version"

    def __init__(self, version: str, *, model: str, served: Iterable[str]) -> None:
        super().__init__(f"The model {model!r} does not serve version {version[:100]!r}; it serves {listed(served)}.")


class WrongTask(RequestError):
    status, code = 422, "wrong_task"

    def __init__(self, name: str, *, task: str, asked: str, able: Iterable[str]) -> None:
        super().__init__(f"The model {name!r} does {task}, not {asked}; models for {asked}: {listed(able)}.")


class RolloutError(RequestError):
    """A change of what serves cannot be made."""


class CannotServe(RolloutError):
    status, code = 409, "cannot_serve"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Nothing was changed: {reason.rstrip('.')}.")


class RolloutsNotWritable(RolloutError):
    status, code = 409, "plans_not_writable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The change cannot be saved, since the models' folder is not writable: {reason}.")


class InvalidRollouts(RolloutError):
    """The operator's file cannot be read or parse_infer_request; nothing is guessed in its place."""

    status, code = 409, "bad_plans"
