"""What a bare network does not say, as options, and the test tensors that are made for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from models.errors import PackageError
from models.image import Array
from models.preprocess import AnyStep, prepare
from service.inference import InferenceFailed, open_session

Steps = Sequence[dict[str, Any]]
_FLOAT: dict[str, Any] = {"id": "ensure_dtype"}
NORMALISE: dict[str, Steps] = {
    "none": [_FLOAT],  # intensities as the file has them
    "8bit": [_FLOAT, {"id": "scale_linear", "gain": 1 / 255}],  # 0 to 255 -> 0 to 1
    "16bit": [_FLOAT, {"id": "scale_linear", "gain": 1 / 65535}],
    "percentiles": [
        _FLOAT,
        {"id": "scale_range", "min_percentile": 1.0, "max_percentile": 99.8},
        {"id": "clip", "min": 0.0, "max": 1.0},
    ],
    "zero_mean": [_FLOAT, {"id": "zero_mean_unit_variance"}],  # of each image, each channel by itself
}
_SIDE = 64  # px, at least, of a test input that may have any size
_SAME = 1e-4


def pair(text: str) -> tuple[int, int] | None:
    """ "224x224" -> (224, 224); "" -> None. Raises PackageError."""
    if not text:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise PackageError(f"--input-size {text!r} is not like 224x224.")
    return int(height), int(width)


def numbers(text: str, channels: int) -> tuple[float, ...]:
    """ "0.485,0.456,0.406" -> three numbers; "" -> none. Raises PackageError."""
    try:
        found = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise PackageError(f"{text!r} are no numbers with commas between.") from error
    if found and len(found) != channels:
        raise PackageError(f"{text!r} are {len(found)} numbers; the network takes {channels} channels.")
    return found


def answers_for(weights: bytes, takes: Mapping[str, Any], steps: Steps) -> tuple[Array, dict[str, Array]]:
    """A test input (1, C, H, W) float32 in 0 to 255 that is the same each time, and the network's answer.

    Raises PackageError.
    """
    step, least = takes.get("step", 1), takes.get("min_size", 1)
    side = least + -(-max(0, _SIDE - least) // step) * step
    shape = (takes["channels"], *(takes["size"] or (side, side)))
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    parsed = tuple(TypeAdapter[AnyStep](AnyStep).validate_python(step) for step in steps)
    tensor = prepare(image.transpose(1, 2, 0), channels=shape[0], size=None, steps=parsed)
    return image[None], {"probabilities": alone_and_together(weights, tensor)}


def alone_and_together(weights: bytes, tensor: Array) -> Array:
    """The answer (1, ...) for a prepared tensor (C, H, W), which is the same when another image runs with it.

    Raises PackageError where it is not, or the network cannot run it.
    """
    try:
        session = open_session(weights, device="cpu")
        alone = session.run(tensor[None], ("probabilities",))["probabilities"]
        both = session.run(np.stack([tensor[:, ::-1], tensor]), ("probabilities",))["probabilities"]
    except InferenceFailed as error:
        raise PackageError(
            f"It does not run on one image of {tensor.shape}, or not on two; an export whose batch size is free "
            f"may. {error}"
        ) from error
    if both.shape[1:] != alone.shape[1:] or not np.allclose(both[1:], alone, atol=_SAME):
        raise PackageError("It answers an image otherwise when another runs with it.")
    return alone
