"""Startup message: a line per model and a curl command that works; and the log of later changes."""

from collections.abc import Iterable, Iterator

from service.repository.invalid_package import InvalidPackage
from service.repository.state import Repository, ServedModel
from service.telemetry.log import log

SAMPLE = "sample.png"
_ROUTES = {"classification": "/predict", "segmentation": "/segment -F format=measurements"}


def startup_lines(repository: Repository, *, url: str) -> Iterator[str]:
    """Yields the lines of the message. url: the service's address, such as http://127.0.0.1:3000."""
    for model in repository.served.values():
        yield f"{model.spec.name} {model.spec.version} ({model.spec.task}) is served by {model.provider}"
    for (name, reason), versions in _by_reason(repository.invalid).items():
        are = "is" if len(versions) == 1 else f"and {len(versions) - 1:,} more of its versions are"
        yield f"{name} {versions[0]} {are} invalid and not served: {reason}"
    if not repository.served:
        yield "No model is served."
        return
    yield f"Ready at {url}. Try:"
    yield "  " + _curl(repository, url=url)


def _curl(repository: Repository, *, url: str) -> str:
    """Returns a command that classifies the first sample in a package; without a sample, one that lists the models."""
    with_sample = [model for model in repository.served.values() if (model.package.folder / SAMPLE).is_file()]
    if not with_sample:
        return f"curl {url}/models"
    model = min(with_sample, key=lambda model: model.spec.task)
    return f"curl -F image=@{model.package.folder / SAMPLE} -F model={model.spec.name} {url}{_path(model)}"


def _path(model: ServedModel) -> str:
    return _ROUTES[model.spec.task]


def log_changes(previous: Repository, current: Repository) -> None:
    """Logs the models and the invalid packages that are new."""
    known = {id(model) for model in previous.all_models()}
    for model in current.all_models():
        if id(model) not in known:
            log.write(
                "info", "model loaded", model=model.spec.name, version=model.spec.version, provider=model.provider
            )
    known_invalid = set(previous.invalid)
    new = [invalid for invalid in current.invalid if invalid not in known_invalid]
    for (name, reason), versions in _by_reason(new).items():
        log.write("error", "package invalid", model=name, version=versions[0], versions=len(versions), reason=reason)


def _by_reason(packages: Iterable[InvalidPackage]) -> dict[tuple[str, str], list[str]]:
    """Returns the versions of each model and reason, so that a thousand of them make one line."""
    versions: dict[tuple[str, str], list[str]] = {}
    for each in packages:
        versions.setdefault((each.name, each.reason), []).append(each.version)
    return versions
