"""ModelSpec <-> the BioImage.IO model description 0.5.9 (rdf.yaml).

What BioImage.IO has a field for stands there, so that other tools read it; the rest is ours, under `config.striate`.
"""

import keyword
import re
from typing import Any

from pydantic import ValidationError

from models.errors import PackageError
from models.spec import ModelSpec

FORMAT_VERSION = "0.5.9"
_ELSEWHERE = (
    "name", "version", "description", "license", "authors", "cite", "opset", "weights", "test_input", "test_outputs"
)  # fmt: skip


def to_rdf(spec: ModelSpec) -> dict[str, Any]:
    """The description as plain dicts and lists, ready for YAML."""
    elsewhere: dict[str, Any] = {**dict.fromkeys(_ELSEWHERE, True), "input": {"steps"}}
    ours = spec.model_dump(mode="json", exclude=elsewhere, exclude_none=True)
    return {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "license": spec.license,
        "authors": [{"name": author} for author in spec.authors],
        "cite": [{"text": text, "doi": doi} for text, doi in spec.cite],
        "documentation": "README.md",
        "covers": [name for name in spec.attachments if name.startswith("cover")],
        "attachments": [{"source": name} for name in spec.attachments if not name.startswith("cover")],
        "tags": [spec.task, spec.architecture],
        "inputs": [_input(spec)],
        "outputs": [_output(spec, name) for name in spec.every_output],
        "weights": {"onnx": {**spec.weights.model_dump(), "opset_version": spec.opset}},
        "config": {
            "bioimageio": {
                "reproducibility_tolerance": [
                    {"absolute_tolerance": spec.tolerance_of(name), "output_ids": [name]} for name in spec.every_output
                ]
            },
            "striate": ours,
        },
    }


def from_rdf(document: dict[str, Any]) -> ModelSpec:
    """Raises PackageError, naming the field, where the description is not one that we wrote."""
    try:
        ours = dict(document["config"]["striate"])
        (tensor,) = document["inputs"]
        steps = [{"id": step["id"], **step.get("kwargs", {})} for step in tensor["preprocessing"]]
        onnx = dict(document["weights"]["onnx"])
        return ModelSpec(
            **{key: document[key] for key in ("name", "version", "description", "license")},
            **{**ours, "input": {**ours["input"], "steps": steps}},
            authors=tuple(author["name"] for author in document["authors"]),
            cite=tuple((entry["text"], entry["doi"]) for entry in document["cite"]),
            opset=onnx.pop("opset_version"),
            weights=onnx,
            test_input=tensor["test_tensor"],
            test_outputs={output["id"]: output["test_tensor"] for output in document["outputs"]},
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the description"
        raise PackageError(f"rdf.yaml: {field}: {first['msg']} (it says {first['input']!r:.200}).") from error
    except (KeyError, TypeError, ValueError) as error:
        raise PackageError(f"rdf.yaml is not a description written by Striate: {error!r:.200}.") from error


def _input(spec: ModelSpec) -> dict[str, Any]:
    steps = [{"id": step.id, "kwargs": step.model_dump(mode="json", exclude={"id"})} for step in spec.input.steps]
    return {
        "id": "image",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": _input_channels(spec)},
            *({"type": "space", "id": axis, "size": size} for axis, size in zip("yx", _input_sizes(spec))),
        ],
        "data": {"type": "float32"},
        "preprocessing": steps,
        "test_tensor": spec.test_input.model_dump(),
    }


def _input_channels(spec: ModelSpec) -> list[str]:
    if spec.input.kind == "signal":
        return _identifiers(tuple(spec.input.letters or map("channel{}".format, range(spec.input.channels))))
    return ["intensity"] if spec.input.channels == 1 else ["red", "green", "blue"]


def _input_sizes(spec: ModelSpec) -> list[Any]:
    if spec.input.size:
        return list(spec.input.size)
    step = spec.input.step
    missing = max(0, 2 * spec.halo + 1 - spec.input.min_size)  # 0.5.9 wants a pixel inside the halo
    smallest = spec.input.min_size + -(-missing // step) * step
    return [{"min": smallest, "step": step}] * 2


def _output(spec: ModelSpec, name: str) -> dict[str, Any]:
    channels: dict[str, Any] = {"type": "channel", "channel_names": _identifiers(spec.channel_names)}
    space = _output_space(spec)
    if name != "probabilities" and spec.input.size:
        count, *sides = spec.output_shape(name, spec.input.size)
        space = [
            {"type": "space", "id": axis, "size": side, "scale": whole / side}
            for axis, side, whole in zip("yx", sides, spec.input.size)
        ]
        # A layer's channels have no names.
        channels = channels if name in spec.output_names else {"type": "index", "size": count}
    return {
        "id": name,
        "axes": [{"type": "batch"}, channels, *space],
        "data": {"type": "float32"},
        "test_tensor": spec.test_outputs[name].model_dump(),
    }


def _identifiers(labels: tuple[str, ...]) -> list[str]:
    """Labels as what 0.5.9 allows, Python's identifiers: "viral pneumonia" -> "viral_pneumonia", "0" -> "_0"."""
    names = [re.sub(r"\W|^(?=\d)", "_", label) for label in labels]
    names = [f"{name}_" if keyword.iskeyword(name) else name for name in names]
    return names if len(set(names)) == len(names) else [f"{name}_{i}" for i, name in enumerate(names)]


def _output_space(spec: ModelSpec) -> list[dict[str, Any]]:
    """Of the probabilities."""
    if spec.task == "classification":
        return []
    axes = []
    for axis in "yx":
        size = {"tensor_id": "image", "axis_id": axis, "offset": -2 * spec.border}
        axes.append({"type": "space", "id": axis, "size": size} | ({"halo": spec.halo} if spec.halo else {}))
    return axes
