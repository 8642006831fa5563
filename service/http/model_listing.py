"""Every version of every model and its state, as /models and the repository index tell it."""

from dataclasses import asdict
from pathlib import Path

from service.api.model_info import ComparisonInfo, ModelInfo, Models, Role, VersionInfo
from service.errors import UnknownModel
from service.http.responses import model_info, refused_info
from service.repository.scan import newest_first
from service.repository.state import Repository, ServedModel


def names(repository: Repository) -> tuple[str, ...]:
    """Every model of which there is a folder, whatever its state."""
    spare = (spare.package.spec.name for spare in repository.spare)
    refused = (refused.name for refused in repository.refused)
    return tuple(sorted({*repository.served, *spare, *refused}))


def inventory(repository: Repository) -> Models:
    """The models that serve, those that were unloaded, and every package that was refused."""
    served = [entry(repository, name) for name in repository.served]
    unloaded = {spare.package.spec.name for spare in repository.spare} - set(repository.served)
    refused = [refused_info(refused) for refused in repository.refused]
    return Models(models=(*served, *(entry(repository, name) for name in sorted(unloaded)), *refused))


def entry(repository: Repository, name: str) -> ModelInfo:
    """One model with all its versions. Raises UnknownModel."""
    known = versions(repository, name)
    if not known:
        raise UnknownModel(name, served=repository.served)
    if name in repository.served:
        return model_info(repository.served[name]).model_copy(update={"versions": known})
    latest = known[0]
    status = "unloaded" if any(version.state == "spare" for version in known) else "refused"
    facts = {"name": name, "version": latest.version, "status": status, "reason": latest.reason or None}
    return ModelInfo.model_validate({**facts, "versions": known})


def versions(repository: Repository, name: str) -> tuple[VersionInfo, ...]:
    """Newest first. A version that serves and whose replacement was refused stands there twice."""
    found = [_running(repository, model) for model in repository.every() if model.spec.name == name]
    for spare in repository.spare:
        if spare.package.spec.name == name:
            version, sha256 = spare.package.spec.version, spare.package.sha256
            found.append(VersionInfo(version=version, state="spare", sha256=sha256))
    for refused in repository.refused:
        if refused.name == name:
            found.append(VersionInfo(version=refused.version, state="refused", reason=refused.reason))
    order = newest_first({Path(name, version.version) for version in found})
    return tuple(sorted(found, key=lambda version: order.index(Path(name, version.version))))


def _running(repository: Repository, model: ServedModel) -> VersionInfo:
    canary = repository.canaries.get(model.spec.name)
    share = canary.percent if canary and canary.model is model else 0.0
    serves = repository.served[model.spec.name] is model
    role: Role = "serves" if serves else "canary" if share else "shadow"
    compared = model.statistics.comparison
    return VersionInfo(
        version=model.spec.version,
        state="ready" if model.batcher.loaded else "unloaded",
        role=role,
        percent=(100 - (canary.percent if canary else 0)) if serves else share,
        sha256=model.package.sha256,
        weights_bytes=model.nbytes,
        comparison=ComparisonInfo.model_validate(asdict(compared)) if role == "shadow" else None,
    )
