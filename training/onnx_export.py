"""ONNX export of a network, and the proof that ONNX Runtime computes what PyTorch does."""

import copy
import logging
import warnings
from typing import Any

import numpy as np
import onnxruntime
import torch

from models.image import Array
from models.outputs import graph_name
from models.spec import Precision
from training.build import Exported
from training.user_errors import UserError

# Largest difference allowed between ONNX Runtime and the float32 network in PyTorch, on any device, times the output's
# largest value if that exceeds 1. Half precision has 11 bits: fifty layers lose about 1e-3.
TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "half": 1e-2}
PROBABILITIES = graph_name("probabilities")
# It names four torchvision operations that no network here has.
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)


class ExportError(UserError):
    """The graph differs from the network; no package was written."""


def to_onnx(network: Exported, x: Array, *, step: int | None) -> bytes:
    """Exports ONNX with a dynamic batch axis and, with `step`, dynamic sides in multiples of it."""
    shape: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=1024)}
    if step:
        shape |= {axis: step * torch.export.Dim(f"side{axis}", min=1) for axis in range(2, x.ndim)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # from torch 2.13's own code
        program = torch.onnx.export(
            network,
            (torch.from_numpy(np.concatenate([x, x])),),  # a single image would fix the batch size
            input_names=["image"],
            output_names=list(network.output_names),
            dynamic_shapes=(shape,),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def run(weights: bytes, x: Array) -> dict[str, Array]:
    """Runs the graph with ONNX Runtime on the CPU; returns outputs by name."""
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, {"image": x})))


def in_precision(network: Exported, precision: Precision) -> Exported:
    """Returns the network, or a copy with its body in half precision."""
    if precision == "float32":
        return network
    half = copy.deepcopy(network)
    half.network.half()
    return half


@torch.no_grad()
def prove(
    network: Exported, weights: bytes, tensors: list[Array], *, tolerance: float = TOLERANCE["float32"]
) -> dict[str, float]:
    """Returns the tolerance of each output: `tolerance`, times its largest value if that exceeds 1.

    Raises ExportError if an output differs by more on a real input, or another class is the most probable.
    """
    wanted = [_outputs(network, x) for x in tensors]
    largest = {name: max(float(np.abs(outputs[name]).max()) for outputs in wanted) for name in wanted[0]}
    allowed = {name: tolerance * max(1.0, value) for name, value in largest.items()}
    for number, (x, want) in enumerate(zip(tensors, wanted)):
        got = run(weights, x)
        for name, limit in allowed.items():
            difference = float(np.abs(got[name] - want[name]).max())
            print(f"image {number}: {name} {got[name].shape} differs by at most {difference:.1e}, {limit:.1e} allowed")
            if not difference <= limit:
                raise ExportError(f"{name} differs by {difference:.2e} on image {number}; at most {limit} is allowed.")
        top = want[PROBABILITIES].argmax(axis=1)
        if top.ndim == 1 and (got[PROBABILITIES].argmax(axis=1) != top).any():
            raise ExportError(f"The most probable class of image {number} is another than PyTorch's, {top}.")
    return allowed


def _outputs(network: Exported, x: Array) -> dict[str, Array]:
    """Runs the network in PyTorch; returns outputs by the graph's names."""
    return {name: tensor.numpy() for name, tensor in zip(network.output_names, network(torch.from_numpy(x)))}
