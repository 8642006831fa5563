"""BioImage.IO model descriptions (rdf.yaml, format 0.5.9) from a ModelSpec, and back.

What BioImage.IO has a field for stands there, so that other tools read it; the rest is ours, under `config.striate`,
whose form has a number: `contract`.
"""

import keyword
import re
from typing import Any

from pydantic import ValidationError

from models.errors import PackageError, fault_of_document, quoted
from models.outputs import AnyOutput, TapSpec
from models.spec import ModelSpec

FORMAT_VERSION = "0.5.9"
CONTRACT = 2
_ELSEWHERE = ("name", "version", "description", "license", "authors", "cite", "opset", "weights", "test_input")


def to_rdf(spec: ModelSpec) -> dict[str, Any]:
    """Converts a spec to plain dicts and lists, ready for YAML."""
    elsewhere: dict[str, Any] = {
        **dict.fromkeys(_ELSEWHERE, True), "input": {"steps"}, "outputs": {"__all__": {"test_tensor"}}
    }  # fmt: skip
    ours = {"contract": CONTRACT, **spec.model_dump(mode="json", exclude=elsewhere, exclude_none=True)}
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
        "outputs": [_output(spec, output) for output in spec.outputs],
        "weights": {"onnx": {**spec.weights.model_dump(), "opset_version": spec.opset}},
        "config": {
            "bioimageio": {
                "reproducibility_tolerance": [
                    {"absolute_tolerance": output.tolerance, "output_ids": [output.name]} for output in spec.outputs
                ]
            },
            "striate": ours,
        },
    }


def from_rdf(document: dict[str, Any]) -> ModelSpec:
    """Reads a spec from a description. Raises PackageError, naming the field, where it is not one that we wrote."""
    _check_contract(contract_of(document))
    try:
        ours = {name: value for name, value in document["config"]["striate"].items() if name != "contract"}
        tensors = {output["id"]: output["test_tensor"] for output in document["outputs"]}
        (tensor,) = document["inputs"]
        steps = [{"id": step["id"], **step.get("kwargs", {})} for step in tensor["preprocessing"]]
        onnx = dict(document["weights"]["onnx"])
        return ModelSpec(
            **{key: document[key] for key in ("name", "version", "description", "license")},
            **{**ours, "input": {**ours["input"], "steps": steps}, "outputs": _with(tensors, ours["outputs"])},
            authors=tuple(author["name"] for author in document["authors"]),
            cite=tuple((entry["text"], entry["doi"]) for entry in document["cite"]),
            opset=onnx.pop("opset_version"),
            weights=onnx,
            test_input=tensor["test_tensor"],
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the description"
        raise PackageError(
            f"rdf.yaml: {field:.100}: {first['msg']:.300} (it says {quoted(first['input'])})."
        ) from error
    except Exception as error:  # whatever a stranger's values cause, they are not a description
        raise PackageError(f"rdf.yaml is not a description written by Striate: {fault_of_document(error)}.") from error


def contract_of(document: Any) -> object:
    """Returns the contract number of a description. Raises PackageError where it is not one that we wrote."""
    try:
        return document["config"]["striate"].get("contract", 1)
    except (KeyError, TypeError, AttributeError) as error:
        raise PackageError(f"rdf.yaml is not a description written by Striate: {fault_of_document(error)}.") from error


def _check_contract(contract: object) -> None:
    if contract == 1:
        raise PackageError(
            "rdf.yaml was written for an older contract; run `python -m service.manage migrate FOLDER` on the package."
        )
    if contract != CONTRACT:
        raise PackageError(f"rdf.yaml was written for contract {quoted(contract)}; this version reads {CONTRACT}.")


def _with(tensors: dict[str, Any], outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the outputs with the test tensors that stand in BioImage.IO's own list of them."""
    if [output["name"] for output in outputs] != list(tensors):
        raise PackageError(f"rdf.yaml: outputs are {quoted(list(tensors))}, but config.striate.outputs has others.")
    return [{**output, "test_tensor": tensors[output["name"]]} for output in outputs]


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


def _output(spec: ModelSpec, output: AnyOutput) -> dict[str, Any]:
    channels: dict[str, Any] = {"type": "channel", "channel_names": _identifiers(spec.channel_names)}
    if isinstance(output, TapSpec):  # a layer's channels have no names
        channels = {"type": "index", "size": output.size[0]}
    space = _own_grid(spec, output) if output.role != "probabilities" else _input_grid(spec)
    return {
        "id": output.name,
        "axes": [{"type": "batch"}, channels, *space],
        "data": {"type": "float32"},
        "test_tensor": output.test_tensor.model_dump(),
    }


def _own_grid(spec: ModelSpec, output: AnyOutput) -> list[dict[str, Any]]:
    """Returns the space axes of a map that is smaller than the input."""
    whole = spec.input.size or (0, 0)
    _, *sides = spec.output_shape(output.name, whole)
    return [
        {"type": "space", "id": axis, "size": side, "scale": length / side}
        for axis, side, length in zip("yx", sides, whole)
    ]


def _identifiers(labels: tuple[str, ...]) -> list[str]:
    """Turns labels into Python identifiers, as 0.5.9 asks: "viral pneumonia" -> "viral_pneumonia", "0" -> "_0"."""
    names = [re.sub(r"\W|^(?=\d)", "_", label) for label in labels]
    names = [f"{name}_" if keyword.iskeyword(name) else name for name in names]
    return names if len(set(names)) == len(names) else [f"{name}_{i}" for i, name in enumerate(names)]


def _input_grid(spec: ModelSpec) -> list[dict[str, Any]]:
    """Returns the space axes of probabilities: none, or the input's without its border."""
    if spec.task == "classification":
        return []
    axes = []
    for axis in "yx":
        size = {"tensor_id": "image", "axis_id": axis, "offset": -2 * spec.border}
        axes.append({"type": "space", "id": axis, "size": size} | ({"halo": spec.halo} if spec.halo else {}))
    return axes
