"""Model listing: every version of every model and its state, for /models and the repository index."""

from dataclasses import asdict
from pathlib import Path

from models.outputs import TapSpec
from service.api.model_info import (
    ClassFacts,
    ComparisonInfo,
    FigureFacts,
    InputFacts,
    LayerFacts,
    ModelInfo,
    Models,
    NodeFacts,
    VersionInfo,
    VersionRole,
)
from service.repository.errors import UnknownModel
from service.repository.invalid_package import InvalidPackage
from service.repository.scan import newest_first
from service.repository.state import Repository, ServedModel
from service.tasks.cam import methods_of


def model_names(repository: Repository) -> tuple[str, ...]:
    """Returns the name of every model that has a folder, whatever its state."""
    inactive = (inactive.package.spec.name for inactive in repository.inactive)
    invalid = (invalid.name for invalid in repository.invalid)
    return tuple(sorted({*repository.served, *inactive, *invalid}))


def list_models(repository: Repository) -> Models:
    """Returns the served models, the unloaded ones, and every invalid package."""
    served = [model_entry(repository, name) for name in repository.served]
    unloaded = {inactive.package.spec.name for inactive in repository.inactive} - set(repository.served)
    invalid = [_invalid_info(invalid) for invalid in repository.invalid]
    return Models(models=(*served, *(model_entry(repository, name) for name in sorted(unloaded)), *invalid))


def model_entry(repository: Repository, name: str) -> ModelInfo:
    """Returns one model with all its versions. Raises UnknownModel."""
    versions = model_versions(repository, name)
    if not versions:
        raise UnknownModel(name, served=repository.served)
    if name in repository.served:
        return _model_info(repository.served[name]).model_copy(update={"versions": versions})
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
    role: VersionRole = "serves" if is_served else "canary" if share else "shadow"
    return VersionInfo(
        version=model.spec.version,
        state="ready" if model.batcher.loaded else "unloaded",
        role=role,
        percent=(100 - (canary.percent if canary else 0)) if is_served else share,
        sha256=model.package.sha256,
        weights_bytes=model.nbytes,
        comparison=ComparisonInfo.model_validate(asdict(model.statistics.comparison)) if role == "shadow" else None,
    )


def _model_info(model: ServedModel) -> ModelInfo:
    """Returns the description of a model that serves."""
    spec = model.spec
    return ModelInfo(
        name=spec.name,
        version=spec.version,
        status="ready",
        sha256=model.package.sha256,
        task=spec.task,
        description=spec.description,
        architecture=spec.architecture,
        license=spec.license,
        provider=model.provider,
        classes=tuple(ClassFacts.model_validate(known.model_dump()) for known in spec.classes),
        nodes=tuple(NodeFacts.model_validate(node.model_dump()) for node in spec.nodes),
        input=_input_facts(model),
        activation=spec.activation,
        cam=spec.cam.method if spec.cam else None,
        cam_methods=methods_of(spec) if spec.task == "classification" else (),
        layers=tuple(map(_layer_facts, spec.taps)),
        has_filters=spec.filters is not None,
        separates_objects=spec.objects is not None,
        classes_overlap=spec.classes_overlap,
        flips=spec.flips,
        figures=tuple(FigureFacts.model_validate(figure.model_dump()) for figure in spec.evaluation),
        trained_on=spec.provenance.data if spec.provenance else None,
        data_sha256=spec.provenance.data_sha256 if spec.provenance else None,
        files=model.package.readable,
    )


def _layer_facts(tap: TapSpec) -> LayerFacts:
    channels, height, width = tap.size
    return LayerFacts(
        name=tap.layer,
        channels=channels,
        height=height,
        width=width,
        receptive_field_px=tap.receptive_field,
        origin_px=tap.origin,
        stride_px=tap.stride,
    )


def _invalid_info(invalid: InvalidPackage) -> ModelInfo:
    return ModelInfo(name=invalid.name, version=invalid.version, status="invalid", reason=invalid.reason)


def _input_facts(model: ServedModel) -> InputFacts:
    spec = model.spec
    height, width = spec.input.size or (None, None)
    return InputFacts(
        kind=spec.input.kind,
        channels=spec.input.channels,
        letters=spec.input.letters,
        height=height,
        width=width,
        smallest_image_px=spec.input.smallest_image,
        pixel_size_um=spec.pixel_size_um,
    )
