"""BioImage.IO descriptions, 0.4 and 0.5: reads what the service needs, and rejects what it does not support."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models.description_yaml import parse_yaml
from models.errors import PackageError, fault_of_document, quoted
from models.preprocess import AnyStep
from service.manage.archive import checked_name
from service.manage.graph import Activation

_STEP: TypeAdapter[AnyStep] = TypeAdapter(AnyStep)
_AXES = {"x": "x", "y": "y", "c": "channel", "channel": "channel", "b": "batch", "batch": "batch"}
_DEFAULT_IDS = {"space": "x"}  # an axis's id by its type, if a 0.5 description has none


@dataclass(frozen=True, slots=True)
class ForeignDescription:
    """The parsed description of a foreign package.

    weights, test_input, test_output: file names. digests: sha256 by file name, as far as given. size: fixed (height,
    width), or None.
    """

    name: str
    version: str | None
    facts: dict[str, Any]  # description, license, authors, cite, as in ModelSpec
    weights: str
    test_input: str
    test_output: str
    digests: dict[str, str]
    size: tuple[int, int] | None
    steps: tuple[AnyStep, ...]
    activation: Activation | None
    labels: tuple[str, ...]
    tolerance: float


def parse(text: bytes) -> ForeignDescription:
    """Parses a description. Raises PackageError with what is not supported."""
    try:
        document = parse_yaml(text)
        major = str(document["format_version"]).rpartition(".")[0]
        if major not in ("0.4", "0.5"):
            raise PackageError(
                f"The description has format {quoted(document['format_version'])}; 0.4 and 0.5 are supported."
            )
        return (_v4 if major == "0.4" else _v5)(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        fault = fault_of_document(error)
        raise PackageError(f"The description is not a BioImage.IO model description: {fault}.") from error


def _v5(document: Mapping[str, Any]) -> ForeignDescription:
    input_tensor, output_tensor = _only(document["inputs"], "input"), _only(document["outputs"], "output")
    axes = [axis.get("id", _DEFAULT_IDS.get(axis["type"], axis["type"])) for axis in input_tensor["axes"]]
    sizes = [axis.get("size") for axis in input_tensor["axes"]]
    channels: Mapping[str, Any] = next((axis for axis in output_tensor["axes"] if axis["type"] == "channel"), {})
    files = (document["weights"], input_tensor["test_tensor"], output_tensor["test_tensor"])
    digests = {file["source"]: file["sha256"] for file in (files[0]["onnx"], *files[1:]) if file.get("sha256")}
    return ForeignDescription(
        **_common(document),
        weights=_weights(document),
        test_input=checked_name(files[1]["source"]),
        test_output=checked_name(files[2]["source"]),
        digests=digests,
        size=_size(axes, sizes),
        steps=_steps([_operation(step["id"], step.get("kwargs")) for step in input_tensor.get("preprocessing", ())]),
        activation=_activation([(step["id"], step.get("kwargs")) for step in output_tensor.get("postprocessing", ())]),
        labels=tuple(channels.get("channel_names", ())),
        tolerance=_tolerance(document),
    )


def _v4(document: Mapping[str, Any]) -> ForeignDescription:
    input_tensor, output_tensor = _only(document["inputs"], "input"), _only(document["outputs"], "output")
    shape = input_tensor["shape"]
    sizes = shape if isinstance(shape, list) else [None] * len(input_tensor["axes"])
    onnx = document["weights"].get("onnx", {})
    return ForeignDescription(
        **_common(document),
        weights=_weights(document),
        test_input=checked_name(_only(document["test_inputs"], "test input")),
        test_output=checked_name(_only(document["test_outputs"], "test output")),
        digests={onnx["source"]: onnx["sha256"]} if onnx.get("sha256") else {},
        size=_size(list(input_tensor["axes"]), sizes),
        steps=_steps([_operation(step["name"], step.get("kwargs")) for step in input_tensor.get("preprocessing", ())]),
        activation=_activation(
            [(step["name"], step.get("kwargs")) for step in output_tensor.get("postprocessing", ())]
        ),
        labels=(),
        tolerance=_tolerance(document),
    )


def _common(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the name, version and metadata, in the lengths and characters that ModelSpec allows."""
    authors = [re.sub(r"[/\\]", " ", author["name"]) for author in document.get("authors", ())]
    cites = [(cite["text"].strip(), cite["doi"]) for cite in document.get("cite", ()) if cite.get("doi")]
    facts: dict[str, Any] = {
        "description": str(document.get("description", ""))[:1024],
        "license": document.get("license") or "unknown",
        "authors": tuple(authors) or ("unknown",),
        "cite": tuple(cites),
    }
    version = document.get("version")
    return {"name": document["name"], "version": None if version is None else str(version), "facts": facts}


def _weights(document: Mapping[str, Any]) -> str:
    if "onnx" not in document["weights"]:
        raise PackageError(f"The package has weights for {sorted(document['weights'])}; ONNX weights are required.")
    return checked_name(document["weights"]["onnx"]["source"])


def _only(tensors: Any, kind: str) -> Any:
    if len(tensors) != 1:
        raise PackageError(f"The package has {len(tensors)} {kind}s; only one is supported.")
    return tensors[0]


def _size(axes: list[str], sizes: list[Any]) -> tuple[int, int] | None:
    """Returns the fixed height and width, or None. Raises PackageError unless the axes are batch, channel, y, x."""
    if [_AXES.get(axis) for axis in axes] != ["batch", "channel", "y", "x"]:
        raise PackageError(f"The input has the axes {axes}; batch, channel, y, x are supported.")
    height, width = sizes[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _operation(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Converts a preprocessing operation of either format to a Striate step. Raises PackageError."""
    options = dict(options or {})
    mode = options.pop("mode", "per_sample")
    if name == "zero_mean_unit_variance" and mode == "fixed":
        name = "fixed_zero_mean_unit_variance"
    elif mode != "per_sample":
        raise PackageError(f"The preprocessing {name} has mode {mode}; only per_sample and fixed are supported.")
    if name == "fixed_zero_mean_unit_variance":
        mean, std = (_single(name, options.get(key)) for key in ("mean", "std"))
        return {"id": "scale_linear", "gain": 1 / std, "offset": -mean / std}
    if name == "scale_linear":
        return {
            "id": name,
            **{key: _single(name, options.get(key, usual)) for key, usual in (("gain", 1), ("offset", 0))},
        }
    if options.pop("reference_tensor", None):
        raise PackageError(f"The preprocessing {name} needs another tensor, which is not supported.")
    if name in ("zero_mean_unit_variance", "scale_range"):
        axes = {_AXES[axis] for axis in options.pop("axes", None) or ("channel", "y", "x")} - {"batch"}
        options["axes"] = tuple(axis for axis in ("channel", "y", "x") if axis in axes)
    return {"id": name, **options}


def _single(name: str, value: Any) -> float:
    values = value if isinstance(value, list) else [value]
    if len(values) != 1 or not isinstance(values[0], int | float):
        raise PackageError(f"The preprocessing {name} has {quoted(value)}; one number for all channels is supported.")
    return float(values[0])


def _steps(operations: list[dict[str, Any]]) -> tuple[AnyStep, ...]:
    """Validates the steps, beginning with a single conversion to float32. Raises PackageError."""
    steps = [{"id": "ensure_dtype"}]
    for operation in operations:
        if operation != {"id": "ensure_dtype", "dtype": "float32"}:
            steps.append(operation)
    try:
        return tuple(_STEP.validate_python(step) for step in steps)
    except ValidationError as error:
        first = error.errors()[0]
        raise PackageError(f"The preprocessing {quoted(first['input'])} is not supported: {first['msg']}.") from error


def _activation(operations: list[tuple[str, Mapping[str, Any] | None]]) -> Activation | None:
    """Returns the activation that follows the network. Raises PackageError for anything else."""
    after = [(name, dict(options or {})) for name, options in operations if name != "ensure_dtype"]
    if not after:
        return None
    name, options = after[0]
    if len(after) > 1 or name not in ("sigmoid", "softmax") or options.get("axis", "channel") not in ("channel", "c"):
        raise PackageError(f"The postprocessing is {[each for each, _ in after]}; one sigmoid or softmax is supported.")
    return "sigmoid" if name == "sigmoid" else "softmax"


def _tolerance(document: Mapping[str, Any]) -> float:
    """Returns the absolute tolerance that the package states, else 1e-4."""
    config = (document.get("config") or {}).get("bioimageio") or {}
    stated = [each.get("absolute_tolerance") for each in config.get("reproducibility_tolerance") or ()]
    return float(next((value for value in stated if value), 1e-4))
