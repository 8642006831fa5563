"""A BioImage.IO model description, 0.4 or 0.5, as what the service needs to know; what it cannot do is refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from models.errors import PackageError
from models.preprocess import AnyStep
from service.manage.archive import plain
from service.manage.graph import Activation

_STEP: TypeAdapter[AnyStep] = TypeAdapter(AnyStep)
_AXES = {"x": "x", "y": "y", "c": "channel", "channel": "channel", "b": "batch", "batch": "batch"}
_UNNAMED = {"space": "x"}  # an axis's id by its type, as 0.5 has it where none is given


@dataclass(frozen=True, slots=True)
class Described:
    """weights, test_input, test_output: file names. digests: sha256 by file name, where the description has them.

    size: fixed (height, width); else None, and smallest and step say which. mean, std: of each channel, applied last.
    """

    name: str
    version: str | None
    facts: dict[str, Any]  # description, license, authors, cite as ModelSpec has them
    weights: str
    test_input: str
    test_output: str
    digests: dict[str, str]
    size: tuple[int, int] | None
    steps: tuple[AnyStep, ...]
    activation: Activation | None
    labels: tuple[str, ...]
    tolerance: float


def parse(text: bytes) -> Described:
    """Raises PackageError, naming what is not understood."""
    try:
        document = yaml.safe_load(text)
        major = str(document["format_version"]).rpartition(".")[0]
        if major not in ("0.4", "0.5"):
            raise PackageError(f"It is a description of format {document['format_version']!r}; 0.4 and 0.5 are read.")
        return (_v4 if major == "0.4" else _v5)(document)
    except yaml.YAMLError as error:
        raise PackageError(f"The description is not YAML: {error!s:.200}.") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise PackageError(f"The description is not one of a BioImage.IO model: {error!r:.200}.") from error


def _v5(document: Mapping[str, Any]) -> Described:
    given, answer = _only(document["inputs"], "input"), _only(document["outputs"], "output")
    axes = [axis.get("id", _UNNAMED.get(axis["type"], axis["type"])) for axis in given["axes"]]
    sizes = [axis.get("size") for axis in given["axes"]]
    channels: Mapping[str, Any] = next((axis for axis in answer["axes"] if axis["type"] == "channel"), {})
    files = (document["weights"], given["test_tensor"], answer["test_tensor"])
    digests = {file["source"]: file["sha256"] for file in (files[0]["onnx"], *files[1:]) if file.get("sha256")}
    return Described(
        **_common(document),
        weights=_weights(document),
        test_input=plain(files[1]["source"]),
        test_output=plain(files[2]["source"]),
        digests=digests,
        size=_size(axes, sizes),
        steps=_steps([_operation(step["id"], step.get("kwargs")) for step in given.get("preprocessing", ())]),
        activation=_activation([(step["id"], step.get("kwargs")) for step in answer.get("postprocessing", ())]),
        labels=tuple(channels.get("channel_names", ())),
        tolerance=_tolerance(document),
    )


def _v4(document: Mapping[str, Any]) -> Described:
    given, answer = _only(document["inputs"], "input"), _only(document["outputs"], "output")
    shape = given["shape"]
    sizes = shape if isinstance(shape, list) else [None] * len(given["axes"])
    onnx = document["weights"].get("onnx", {})
    return Described(
        **_common(document),
        weights=_weights(document),
        test_input=plain(_only(document["test_inputs"], "test input")),
        test_output=plain(_only(document["test_outputs"], "test output")),
        digests={onnx["source"]: onnx["sha256"]} if onnx.get("sha256") else {},
        size=_size(list(given["axes"]), sizes),
        steps=_steps([_operation(step["name"], step.get("kwargs")) for step in given.get("preprocessing", ())]),
        activation=_activation([(step["name"], step.get("kwargs")) for step in answer.get("postprocessing", ())]),
        labels=(),
        tolerance=_tolerance(document),
    )


def _common(document: Mapping[str, Any]) -> dict[str, Any]:
    """Name, version and what is said of the model, in the lengths and letters that ModelSpec takes."""
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
        raise PackageError(f"It has weights for {sorted(document['weights'])}, and none for onnx, the one that is run.")
    return plain(document["weights"]["onnx"]["source"])


def _only(tensors: Any, what: str) -> Any:
    if len(tensors) != 1:
        raise PackageError(f"It has {len(tensors)} {what}s; the service runs models of one.")
    return tensors[0]


def _size(axes: list[str], sizes: list[Any]) -> tuple[int, int] | None:
    """The fixed height and width, or None. Raises PackageError for other axes than batch, channel, y, x."""
    if [_AXES.get(axis) for axis in axes] != ["batch", "channel", "y", "x"]:
        raise PackageError(f"Its input has the axes {axes}; batch, channel, y, x are served.")
    height, width = sizes[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _operation(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """A preprocessing operation of either format as one of ours. Raises PackageError."""
    options = dict(options or {})
    mode = options.pop("mode", "per_sample")
    if name == "zero_mean_unit_variance" and mode == "fixed":
        name = "fixed_zero_mean_unit_variance"
    elif mode != "per_sample":
        raise PackageError(f"Its preprocessing {name} is {mode}; only what an image alone decides is done.")
    if name == "fixed_zero_mean_unit_variance":
        mean, std = (_single(name, options.get(key)) for key in ("mean", "std"))
        return {"id": "scale_linear", "gain": 1 / std, "offset": -mean / std}
    if name == "scale_linear":
        return {
            "id": name,
            **{key: _single(name, options.get(key, usual)) for key, usual in (("gain", 1), ("offset", 0))},
        }
    if options.pop("reference_tensor", None):
        raise PackageError(f"Its preprocessing {name} needs another tensor.")
    if name in ("zero_mean_unit_variance", "scale_range"):
        axes = {_AXES[axis] for axis in options.pop("axes", None) or ("channel", "y", "x")} - {"batch"}
        options["axes"] = tuple(axis for axis in ("channel", "y", "x") if axis in axes)
    return {"id": name, **options}


def _single(name: str, value: Any) -> float:
    values = value if isinstance(value, list) else [value]
    if len(values) != 1 or not isinstance(values[0], int | float):
        raise PackageError(f"Its preprocessing {name} has {value!r:.100}; one number for all channels is done.")
    return float(values[0])


def _steps(operations: list[dict[str, Any]]) -> tuple[AnyStep, ...]:
    """Ours, beginning with float32 and without repetitions of that."""
    found = [{"id": "ensure_dtype"}]
    for operation in operations:
        if operation != {"id": "ensure_dtype", "dtype": "float32"}:
            found.append(operation)
    try:
        return tuple(_STEP.validate_python(operation) for operation in found)
    except ValidationError as error:
        first = error.errors()[0]
        raise PackageError(
            f"Its preprocessing {first['input']!r:.200} is not one that is done: {first['msg']}."
        ) from error


def _activation(operations: list[tuple[str, Mapping[str, Any] | None]]) -> Activation | None:
    """What follows the network. Raises PackageError."""
    after = [(name, dict(options or {})) for name, options in operations if name != "ensure_dtype"]
    if not after:
        return None
    name, options = after[0]
    if len(after) > 1 or name not in ("sigmoid", "softmax") or options.get("axis", "channel") not in ("channel", "c"):
        raise PackageError(f"Its postprocessing is {[each for each, _ in after]}; one sigmoid or softmax is done.")
    return "sigmoid" if name == "sigmoid" else "softmax"


def _tolerance(document: Mapping[str, Any]) -> float:
    """Absolute, as the package states it, else the one of ours."""
    config = (document.get("config") or {}).get("bioimageio") or {}
    stated = [each.get("absolute_tolerance") for each in config.get("reproducibility_tolerance") or ()]
    return float(next((value for value in stated if value), 1e-4))
