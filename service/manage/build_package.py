"""A package of ours from what somebody else has trained, in a folder of drafts."""

import argparse
import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from models import package as packages
from models.errors import PackageError
from models.geometry import Geometry
from models.image import Array
from models.preprocess import prepare
from models.rdf import from_rdf
from service.manage import bioimageio, graph, graph_geometry
from service.manage.archive import Files, description_of, opened
from service.manage.bare import NORMALISE, alone_and_together, answers_for, numbers, pair
from service.manage.bioimageio import Described
from service.manage.graph import Activation, Shapes

_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")  # Okabe and Ito's


def build(given: argparse.Namespace, bench: Path) -> Path:
    """<bench>/<name>/<version>, written and read back. Raises PackageError."""
    if given.source.suffix == ".onnx":
        return _bare(given, bench)
    with opened(given.source) as files:
        text = files.read(description_of(files))
        if b"striate:" in text:
            return _ours(files, text, bench)
        return _foreign(given, files, bioimageio.parse(text), bench)


def _ours(files: Files, text: bytes, bench: Path) -> Path:
    """An export of ours, byte for byte."""
    try:
        spec = from_rdf(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise PackageError(f"The description is not YAML: {error!s:.200}.") from error
    folder = bench / spec.name / spec.version
    folder.mkdir(parents=True)
    tensors = (spec.weights, spec.test_input, spec.filters, *(output.test_tensor for output in spec.outputs))
    named = {file.source for file in tensors if file} | ({"README.md", *spec.attachments} & files.names)
    for name in sorted(named):
        (folder / name).write_bytes(files.read(name))
    (folder / packages.RDF).write_bytes(text)
    return folder


def _foreign(given: argparse.Namespace, files: Files, said: Described, bench: Path) -> Path:
    """A BioImage.IO package: its own test tensors prove that it is understood."""
    data = {name: files.read(name) for name in (said.weights, said.test_input, said.test_output)}
    for name, digest in said.digests.items():
        if (found := hashlib.sha256(data[name]).hexdigest()) != digest:
            raise PackageError(f"{name} has been changed: its sha256 is {found}, the description says {digest}.")
    test_input, test_output = (_tensor(name, data[name]) for name in (said.test_input, said.test_output))
    model = graph.load(data[said.weights])
    known = graph.shapes(model)
    size = None if given.any_size else pair(given.input_size) or said.size
    fields = {
        **said.facts,
        "name": given.name or _slug(said.name),
        "version": given.version or said.version or "1.0",
        "architecture": "imported",
        **_task(given, test_output, said.labels, tolerance=said.tolerance),
        "opset": known.opset,
        "activation": given.activation or said.activation or _ending(known),
    }
    channels = test_input.shape[1]
    takes, shape = _takes(given, model, channels=channels, size=size, task=fields["task"])
    fields |= shape | {"input": {**takes, "steps": [step.model_dump() for step in said.steps]}}
    after = said.activation or (None if known.ends_in == given.activation else given.activation)
    weights = graph.adapted(model, activation=after, any_size=size is None)
    alone_and_together(
        weights, prepare(test_input[0].transpose(1, 2, 0), channels=channels, size=size, steps=said.steps)
    )
    return _write(bench, fields, weights, test_input, {graph.OUTPUT: test_output})


def _bare(given: argparse.Namespace, bench: Path) -> Path:
    """A network alone: what cannot be read from it must be said; its test tensors are made here, and prove parity."""
    if missing := [name for name in ("name", "classes", "normalise") if not getattr(given, name)]:
        raise PackageError(f"A bare network does not say its {', '.join(missing)}: give --{' and --'.join(missing)}.")
    if given.normalise not in NORMALISE:
        raise PackageError(f"--normalise {given.normalise!r} is none of {', '.join(NORMALISE)}.")
    model = graph.load(given.source.read_bytes())
    known = graph.shapes(model)
    channels, fixed = known.input[1] or 1, known.input[2:]
    own = (fixed[0], fixed[1]) if fixed[0] and fixed[1] else None
    size = None if given.any_size else pair(given.input_size) or own
    activation: Activation = given.activation or _ending(known)
    weights = graph.adapted(
        model,
        activation=None if known.ends_in == activation else activation,
        mean=numbers(given.mean, channels),
        std=numbers(given.std, channels),
        any_size=size is None,
    )
    labels = tuple(label.strip() for label in given.classes.split(","))
    task = given.task or ("classification" if len(known.output) == 2 else "segmentation")
    takes, shape = _takes(given, model, channels=channels, size=size, task=task)
    steps = NORMALISE[given.normalise]
    test_input, answers = answers_for(weights, takes, steps)
    fields = {
        "name": given.name,
        "version": given.version or "1.0",
        "description": f"Imported from {given.source.name}.",
        "license": "unknown",
        "architecture": "imported",
        **_task(given, answers[graph.OUTPUT], labels),
        "opset": known.opset,
        "activation": activation,
        **shape,
        "input": {**takes, "steps": steps},
    }
    return _write(bench, fields, weights, test_input, answers)


def _write(
    bench: Path, fields: Mapping[str, Any], weights: bytes, test_input: Array, answers: Mapping[str, Array]
) -> Path:
    folder = bench / str(fields["name"]) / str(fields["version"])
    readme = f"# {fields['name']}\n\n{fields['description']}\n\n## Validation\n\nNone is known: it was imported.\n"
    try:
        packages.write(folder, fields, weights=weights, test_input=test_input, test_outputs=answers, readme=readme)
    except ValueError as error:  # pydantic's: a name, a label or a size that ModelSpec does not take
        raise PackageError(f"It cannot be described: {error!s:.400}") from error
    return folder


def _task(
    given: argparse.Namespace, answer: Array, labels: tuple[str, ...], *, tolerance: float = 1e-4
) -> dict[str, Any]:
    """The task by the output's shape, a class for each of its channels, and the output. Raises PackageError."""
    if answer.ndim not in (2, 4):
        raise PackageError(f"Its output is {answer.shape}; (N, classes) and (N, classes, H, W) are served.")
    task = "classification" if answer.ndim == 2 else "segmentation"
    if given.task not in (None, task):
        raise PackageError(f"Its output is {answer.shape}, which is {task}, not {given.task}.")
    chosen = tuple(label.strip() for label in given.classes.split(",")) if given.classes else labels
    if len(chosen) != answer.shape[1]:
        raise PackageError(f"It has {answer.shape[1]} outputs and {len(chosen)} labels: give --classes.")
    classes = [{"label": label, "colour": _COLOURS[n % len(_COLOURS)]} for n, label in enumerate(chosen)]
    axes = "NC" if answer.ndim == 2 else "NCYX"
    output = {"name": graph.OUTPUT, "role": "probabilities", "axes": axes, "tolerance": tolerance}
    return {"task": task, "classes": classes, "outputs": [output]}


def _takes(
    given: argparse.Namespace, model: Any, *, channels: int, size: tuple[int, int] | None, task: str
) -> tuple[dict[str, Any], dict[str, int]]:
    """The input's fields and the network's geometry, computed, or as the options say. Raises PackageError."""
    if task == "classification":
        if size is None:
            raise PackageError("A classifier needs a fixed size: give --input-size.")
        side = max(size)  # its head sees the whole image
        return {"channels": channels, "size": size}, {"receptive_field": side, "stride": side}
    if given.halo is not None and given.stride:
        found = Geometry(given.stride, 2 * given.halo + 1, given.halo, 0, given.stride, given.stride)
    else:
        try:
            found = graph_geometry.of_segmenter(model)
        except graph_geometry.NotLocal as error:
            raise PackageError(
                f"{error} So its halo and stride cannot be computed: give --halo and --stride."
            ) from error
    takes = {"channels": channels, "size": size, "min_size": found.min_size, "step": found.step}
    lacks = {"receptive_field": found.receptive_field, "stride": found.stride, "border": found.border}
    return takes, lacks | {"halo": found.halo if size is None else 0}


def _ending(known: Shapes) -> Activation:
    if known.ends_in is None:
        raise PackageError(
            "Its outputs may be any numbers: give --activation softmax or sigmoid, which makes them probabilities."
        )
    return known.ends_in


def _tensor(name: str, data: bytes) -> Array:
    try:
        array: Array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise PackageError(f"{name} is not a .npy array: {error!s:.200}.") from error
    return array.astype(np.float32)


def _slug(name: str) -> str:
    """ "UNet 2D Nuclei Broad" -> "unet-2d-nuclei-broad" """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64]
