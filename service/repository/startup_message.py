"""What a person reads when the service is ready: a line a model, and a curl that works; later, what has changed."""

from collections.abc import Iterator

from service.repository.state import Repository, ServedModel
from service.telemetry.log import log

SAMPLE = "sample.png"
_CALL = {"classification": "/predict", "segmentation": "/segment -F format=measurements"}


def lines(repository: Repository, *, url: str) -> Iterator[str]:
    """url: where the service listens, such as http://127.0.0.1:3000."""
    for model in repository.served.values():
        yield f"{model.spec.name} {model.spec.version} ({model.spec.task}) serves on {model.provider}"
    for refused in repository.refused:
        yield f"{refused.name} {refused.version} was refused: {refused.reason}"
    if not repository.served:
        yield "No model serves."
        return
    yield f"Ready at {url}. Try:"
    yield "  " + _curl(repository, url=url)


def _curl(repository: Repository, *, url: str) -> str:
    """A classification of the first sample that lies in a package; without one, the list of models."""
    with_sample = [model for model in repository.served.values() if (model.package.folder / SAMPLE).is_file()]
    if not with_sample:
        return f"curl {url}/models"
    model = min(with_sample, key=lambda model: model.spec.task)
    return f"curl -F image=@{model.package.folder / SAMPLE} -F model={model.spec.name} {url}{_path(model)}"


def _path(model: ServedModel) -> str:
    return _CALL[model.spec.task]


def log_changes(former: Repository, now: Repository) -> None:
    """In the log: what serves newly, and what was refused newly."""
    known = {id(model) for model in former.every()}
    for model in now.every():
        if id(model) not in known:
            log.write("info", "model", model=model.spec.name, version=model.spec.version, provider=model.provider)
    for refused in now.refused:
        if refused not in former.refused:
            log.write("error", "model refused", model=refused.name, version=refused.version, reason=refused.reason)
