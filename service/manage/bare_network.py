"""Bare ONNX networks: normalisation presets, parsing of options, and generated test tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from models.errors import PackageError
from models.image import Array
from models.outputs import graph_name
from models.preprocess import AnyStep, prepare
from service.inference import InferenceFailed, open_session

OUTPUT = graph_name("probabilities")
Steps = Sequence[dict[str, Any]]
_FLOAT: dict[str, Any] = {"id": "ensure_dtype"}
NORMALISE: dict[str, Steps] = {
    "none": [_FLOAT],  # original intensities
    "8bit": [_FLOAT, {"id": "scale_linear", "gain": 1 / 255}],  # 0 to 255 -> 0 to 1
    "16bit": [_FLOAT, {"id": "scale_linear", "gain": 1 / 65535}],
    "percentiles": [
        _FLOAT,
        {"id": "scale_range", "min_percentile": 1.0, "max_percentile": 99.8},
        {"id": "clip", "min": 0.0, "max": 1.0},
    ],
    "zero_mean": [_FLOAT, {"id": "zero_mean_unit_variance"}],  # per image and channel
}
_MIN_SIDE_PX = 64  # of a test input that may have any size
_TOLERANCE = 1e-4


def parse_size(text: str) -> tuple[int, int] | None:
    """Parses a size: "224x224" -> (224, 224); "" -> None. Raises PackageError."""
    if not text:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise PackageError(f"--input-size {text!r} must look like 224x224.")
    return int(height), int(width)


def parse_numbers(text: str, channels: int) -> tuple[float, ...]:
    """Parses comma-separated numbers, one per channel; "" -> (). Raises PackageError."""
    try:
        values = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise PackageError(f"{text!r} must be comma-separated numbers.") from error
    if values and len(values) != channels:
        raise PackageError(f"{text!r} has {len(values)} numbers; the network has {channels} channels.")
    return values


def make_test_tensors(weights: bytes, input_fields: Mapping[str, Any], steps: Steps) -> tuple[Array, dict[str, Array]]:
    """Returns a reproducible test input, (1, C, H, W) float32 from 0 to 255, and the network's output for it.

    Raises PackageError.
    """
    step, min_size = input_fields.get("step", 1), input_fields.get("min_size", 1)
    side = min_size + -(-max(0, _MIN_SIDE_PX - min_size) // step) * step
    shape = (input_fields["channels"], *(input_fields["size"] or (side, side)))
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    parsed = tuple(TypeAdapter[AnyStep](AnyStep).validate_python(step) for step in steps)
    tensor = prepare(image.transpose(1, 2, 0), channels=shape[0], size=None, steps=parsed)
    return image[None], {OUTPUT: batch_independent_output(weights, tensor)}


def batch_independent_output(weights: bytes, tensor: Array) -> Array:
    """Returns the output (1, ...) for a preprocessed tensor (C, H, W), after checking it against a batch of two.

    Raises PackageError if the output depends on the batch, or if the network cannot run.
    """
    try:
        session = open_session(weights, device="cpu")
        single = session.run(tensor[None], (OUTPUT,))[OUTPUT]
        batch = session.run(np.stack([tensor[:, ::-1], tensor]), (OUTPUT,))[OUTPUT]
    except InferenceFailed as error:
        raise PackageError(
            f"The network does not run on batches of one and two images of {tensor.shape}; export it with a dynamic "
            f"batch axis. {error}"
        ) from error
    if batch.shape[1:] != single.shape[1:] or not np.allclose(batch[1:], single, atol=_TOLERANCE):
        raise PackageError(
            "The output depends on the composition of the batch; export in eval mode with a dynamic batch axis."
        )
    return single
