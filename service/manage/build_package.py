"""Package builder: makes a Striate package from a foreign one, or from a bare ONNX network."""

import argparse
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models import package as packages
from models.description_yaml import parse_yaml
from models.errors import PackageError
from models.geometry import Geometry
from models.image import Array
from models.npy_file import parse_npy
from models.package_files import MAX_DESCRIPTION_BYTES, MAX_NETWORK_BYTES, read_file
from models.preprocess import prepare
from models.rdf import from_rdf
from service.manage import bioimageio, graph, graph_geometry
from service.manage.archive import Files, description_of, open_files
from service.manage.bare_network import (
    NORMALISE,
    batch_independent_output,
    make_test_tensors,
    parse_numbers,
    parse_size,
)
from service.manage.bioimageio import ForeignDescription
from service.manage.graph import Activation, GraphInfo

_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")  # Okabe and Ito


def build(arguments: argparse.Namespace, workspace: Path) -> Path:
    """Writes the package to <workspace>/<name>/<version>, and returns the folder. Raises PackageError."""
    if arguments.source.suffix == ".onnx":
        return _from_network(arguments, workspace)
    with open_files(arguments.source) as files:
        text = files.read(description_of(files), limit=MAX_DESCRIPTION_BYTES)
        if b"striate:" in text:
            return _copy(files, text, workspace)
        return _from_bioimageio(arguments, files, bioimageio.parse(text), workspace)


def _copy(files: Files, text: bytes, workspace: Path) -> Path:
    """Copies a Striate package byte for byte."""
    spec = from_rdf(parse_yaml(text))
    folder = workspace / spec.name / spec.version
    folder.mkdir(parents=True)
    tensors = (spec.weights, spec.test_input, spec.filters, *(output.test_tensor for output in spec.outputs))
    named = {file.source for file in tensors if file} | ({"README.md", *spec.attachments} & files.names)
    for name in sorted(named):
        (folder / name).write_bytes(files.read(name))
    (folder / packages.RDF).write_bytes(text)
    return folder


def _from_bioimageio(arguments: argparse.Namespace, files: Files, source: ForeignDescription, workspace: Path) -> Path:
    """Converts a BioImage.IO package; its own test tensors verify the conversion."""
    data = {name: files.read(name) for name in (source.weights, source.test_input, source.test_output)}
    for name, digest in source.digests.items():
        if (actual := hashlib.sha256(data[name]).hexdigest()) != digest:
            raise PackageError(f"{name} has been changed: its sha256 is {actual}; the description says {digest}.")
    test_input, test_output = (_tensor(name, data[name]) for name in (source.test_input, source.test_output))
    model = graph.load(data[source.weights])
    graph_info = graph.inspect(model)
    size = None if arguments.any_size else parse_size(arguments.input_size) or source.size
    fields = {
        **source.facts,
        "name": arguments.name or _slug(source.name),
        "version": arguments.version or source.version or "1.0",
        "architecture": "imported",
        **_task(arguments, test_output, source.labels, tolerance=source.tolerance),
        "opset": graph_info.opset,
        "activation": arguments.activation or source.activation or _own_activation(graph_info),
    }
    channels = test_input.shape[1]
    input_fields, shape = _input_fields(arguments, model, channels=channels, size=size, task=fields["task"])
    fields |= shape | {"input": {**input_fields, "steps": [step.model_dump() for step in source.steps]}}
    after = source.activation or (None if graph_info.activation == arguments.activation else arguments.activation)
    weights = graph.adapt(model, activation=after, any_size=size is None)
    batch_independent_output(
        weights, prepare(test_input[0].transpose(1, 2, 0), channels=channels, size=size, steps=source.steps)
    )
    return _write(workspace, fields, weights, test_input, {graph.OUTPUT: test_output})


def _from_network(arguments: argparse.Namespace, workspace: Path) -> Path:
    """Describes a bare network by the options, and generates its test tensors."""
    if missing := [name for name in ("name", "classes", "normalise") if not getattr(arguments, name)]:
        raise PackageError(
            f"An ONNX file needs the option{'s' if len(missing) > 1 else ''} --{' and --'.join(missing)}."
        )
    if arguments.normalise not in NORMALISE:
        raise PackageError(f"--normalise {arguments.normalise!r} must be one of {', '.join(NORMALISE)}.")
    model = graph.load(read_file(arguments.source.resolve(), limit=MAX_NETWORK_BYTES))
    graph_info = graph.inspect(model)
    channels, fixed = graph_info.input[1] or 1, graph_info.input[2:]
    own = (fixed[0], fixed[1]) if fixed[0] and fixed[1] else None
    size = None if arguments.any_size else parse_size(arguments.input_size) or own
    activation: Activation = arguments.activation or _own_activation(graph_info)
    weights = graph.adapt(
        model,
        activation=None if graph_info.activation == activation else activation,
        mean=parse_numbers(arguments.mean, channels),
        std=parse_numbers(arguments.std, channels),
        any_size=size is None,
    )
    labels = tuple(label.strip() for label in arguments.classes.split(","))
    task = arguments.task or ("classification" if len(graph_info.output) == 2 else "segmentation")
    input_fields, shape = _input_fields(arguments, model, channels=channels, size=size, task=task)
    steps = NORMALISE[arguments.normalise]
    test_input, answers = make_test_tensors(weights, input_fields, steps)
    fields = {
        "name": arguments.name,
        "version": arguments.version or "1.0",
        "description": f"Imported from {arguments.source.name}.",
        "license": "unknown",
        "architecture": "imported",
        **_task(arguments, answers[graph.OUTPUT], labels),
        "opset": graph_info.opset,
        "activation": activation,
        **shape,
        "input": {**input_fields, "steps": steps},
    }
    return _write(workspace, fields, weights, test_input, answers)


def _write(
    workspace: Path, fields: Mapping[str, Any], weights: bytes, test_input: Array, answers: Mapping[str, Array]
) -> Path:
    folder = workspace / str(fields["name"]) / str(fields["version"])
    readme = f"# {fields['name']}\n\n{fields['description']}\n\n## Validation\n\nUnknown: the network was imported.\n"
    try:
        packages.write(folder, fields, weights=weights, test_input=test_input, test_outputs=answers, readme=readme)
    except ValueError as error:  # from pydantic: a name, a label or a size that ModelSpec does not allow
        raise PackageError(f"The package description is invalid: {error!s:.400}") from error
    return folder


def _task(
    arguments: argparse.Namespace, values: Array, labels: tuple[str, ...], *, tolerance: float = 1e-4
) -> dict[str, Any]:
    """Returns the task by the output's shape, a class for each channel, and the output. Raises PackageError."""
    if values.ndim not in (2, 4):
        raise PackageError(f"The output is {values.shape}; (N, classes) and (N, classes, H, W) are supported.")
    task = "classification" if values.ndim == 2 else "segmentation"
    if arguments.task not in (None, task):
        raise PackageError(f"The output is {values.shape}, which means {task}, not {arguments.task}.")
    chosen = tuple(label.strip() for label in arguments.classes.split(",")) if arguments.classes else labels
    if len(chosen) != values.shape[1]:
        raise PackageError(f"The network has {values.shape[1]} outputs and {len(chosen)} labels; set --classes.")
    classes = [{"label": label, "colour": _COLOURS[n % len(_COLOURS)]} for n, label in enumerate(chosen)]
    axes = "NC" if values.ndim == 2 else "NCYX"
    output = {"name": graph.OUTPUT, "role": "probabilities", "axes": axes, "tolerance": tolerance}
    return {"task": task, "classes": classes, "outputs": [output]}


def _input_fields(
    arguments: argparse.Namespace, model: Any, *, channels: int, size: tuple[int, int] | None, task: str
) -> tuple[dict[str, Any], dict[str, int]]:
    """Returns the input's fields, and the network's geometry, computed or from the options. Raises PackageError."""
    if task == "classification":
        if size is None:
            raise PackageError("A classifier needs a fixed size; set --input-size.")
        side = max(size)  # its head sees the whole image
        return {"channels": channels, "size": size}, {"receptive_field": side, "stride": side}
    if arguments.halo is not None and arguments.stride:
        found = Geometry(
            arguments.stride, 2 * arguments.halo + 1, arguments.halo, 0, arguments.stride, arguments.stride
        )
    else:
        try:
            found = graph_geometry.of_segmenter(model)
        except graph_geometry.NotLocal as error:
            raise PackageError(f"{error} Halo and stride cannot be computed; set --halo and --stride.") from error
    input_fields = {"channels": channels, "size": size, "min_size": found.min_size, "step": found.step}
    network_fields = {"receptive_field": found.receptive_field, "stride": found.stride, "border": found.border}
    return input_fields, network_fields | {"halo": found.halo if size is None else 0}


def _own_activation(graph_info: GraphInfo) -> Activation:
    if graph_info.activation is None:
        raise PackageError("The outputs are not probabilities; set --activation softmax or sigmoid.")
    return graph_info.activation


def _tensor(name: str, data: bytes) -> Array:
    try:
        return parse_npy(data).astype(np.float32)
    except ValueError as error:
        raise PackageError(f"{name} is not a .npy array: {error!s:.200}.") from error


def _slug(name: str) -> str:
    """Converts a name: "UNet 2D Nuclei Broad" -> "unet-2d-nuclei-broad"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64]
