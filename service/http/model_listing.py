"""Model listing: every version of every model and its state, for /models and the repository index."""

from dataclasses import asdict
from pathlib import Path

from service.api.model_info import ComparisonInfo, ModelInfo, Models, Role, VersionInfo
from service.http.responses import model_info, refused_info
from service.repository.errors import UnknownModel
from service.repository.scan import newest_first
from service.repository.state import Repository, ServedModel


def model_names(repository: Repository) -> tuple[str, ...]:
    """Returns the name of every model that has a folder, whatever its state."""
    inactive = (inactive.package.spec.name for inactive in repository.inactive)
    invalid = (invalid.name for invalid in repository.invalid)
    return tuple(sorted({*repository.served, *inactive, *invalid}))


def list_models(repository: Repository) -> Models:
    """Returns the served models, the unloaded ones, and every invalid package."""
    served = [model_entry(repository, name) for name in repository.served]
    unloaded = {inactive.package.spec.name for inactive in repository.inactive} - set(repository.served)
    invalid = [refused_info(invalid) for invalid in repository.invalid]
    return Models(models=(*served, *(model_entry(repository, name) for name in sorted(unloaded)), *invalid))


def model_entry(repository: Repository, name: str) -> ModelInfo:
    """Returns one model with all its versions. Raises UnknownModel."""
    versions = model_versions(repository, name)
    if not versions:
        raise UnknownModel(name, served=repository.served)
    if name in repository.served:
        return model_info(repository.served[name]).model_copy(update={"versions": versions})
    latest = versions[0]
    status = "unloaded" if any(version.state == "inactive" for version in versions) else "invalid"
    facts = {"name": name, "version": latest.version, "status": status, "reason": latest.reason or None}
    return ModelInfo.model_validate({**facts, "versions": versions})


def model_versions(repository: Repository, name: str) -> tuple[VersionInfo, ...]:
    """Returns the versions, newest first. A served version whose replacement is invalid is listed twice."""
    versions = [_running_version(repository, model) for model in repository.all_models() if model.spec.name == name]
    for inactive in repository.inactive:
        if inactive.package.spec.name == name:
            version, sha256 = inactive.package.spec.version, inactive.package.sha256
            versions.append(VersionInfo(version=version, state="inactive", sha256=sha256))
    for invalid in repository.invalid:
        if invalid.name == name:
            versions.append(VersionInfo(version=invalid.version, state="invalid", reason=invalid.reason))
    order = newest_first({Path(name, version.version) for version in versions})
    return tuple(sorted(versions, key=lambda version: order.index(Path(name, version.version))))


def _running_version(repository: Repository, model: ServedModel) -> VersionInfo:
    canary = repository.canaries.get(model.spec.name)
    share = canary.percent if canary and canary.model is model else 0.0
    is_served = repository.served[model.spec.name] is model
    role: Role = "serves" if is_served else "canary" if share else "shadow"
    return VersionInfo(
        version=model.spec.version,
        state="ready" if model.batcher.loaded else "unloaded",
        role=role,
        percent=(100 - (canary.percent if canary else 0)) if is_served else share,
        sha256=model.package.sha256,
        weights_bytes=model.nbytes,
        comparison=ComparisonInfo.model_validate(asdict(model.statistics.comparison)) if role == "shadow" else None,
    )
