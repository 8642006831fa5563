"""Models to evaluate: a checkpoint or an exported package, behind one interface."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from models import package
from models.flips import Flip, mirrored, orientations
from models.geometry import Geometry
from models.image import Array
from models.preprocess import pad
from training import checkpoint
from training.build import Normalised, build
from training.config import Recipe
from training.image_inference import ImageInference
from training.tasks import TASKS
from training.tasks.training_task import Decision, activate, calibrate


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """A model to evaluate. probabilities: one prepared input (C, H, W) float32 -> (K,) or (K, H, W) float32.

    split_sha256: digest of the split that it was trained on, "" if unknown.
    """

    probabilities: Callable[[Array], Array]
    decision: Decision
    split_sha256: str = ""


def model_from_checkpoint(path: Path, *, device: torch.device) -> tuple[EvaluatedModel, Recipe]:
    """Loads a run's best.pt and its recipe."""
    state = checkpoint.load_best(path)
    recipe, decision = Recipe.model_validate(state["recipe"]), Decision(**state["decision"])
    task, network = TASKS[recipe.task], restore(state, recipe)
    geometry = None if recipe.input.size else Geometry(**state["geometry"])
    predictor = ImageInference(network.to(device), device, geometry)

    def probabilities(x: Array) -> Array:
        logits = torch.from_numpy(predictor(x))[None]
        logits_calibrated = calibrate(logits, temperature=decision.temperature, bias=decision.bias)
        return activate(logits_calibrated, task.activation)[0].numpy()

    return EvaluatedModel(
        average_over_flips(probabilities, recipe.package.flips), decision, state["split_sha256"]
    ), recipe


def model_from_package(folder: Path) -> EvaluatedModel:
    """Loads a package, to run in ONNX Runtime on the CPU."""
    spec = (loaded := package.read(folder)).spec
    session = onnxruntime.InferenceSession(loaded.weights, providers=["CPUExecutionProvider"])
    (name,), output = (tensor.name for tensor in session.get_inputs()), spec.names["probabilities"]

    def run(x: Array) -> Array:
        answer: Array = session.run([output], {name: x[None]})[0][0]
        return answer

    def probabilities(x: Array) -> Array:
        if spec.input.size:
            return run(x)
        padded = pad(x, min_size=spec.input.min_size, step=spec.input.step, border=spec.border)
        return run(padded)[:, : x.shape[1], : x.shape[2]]

    decision = Decision(thresholds=tuple(c.threshold for c in spec.classes))
    if spec.objects:
        decision = Decision(
            decision.thresholds, seed_threshold=spec.objects.seed_threshold, min_area_px=spec.objects.min_area_px
        )
    split_sha256 = spec.provenance.split_sha256 if spec.provenance else ""
    return EvaluatedModel(average_over_flips(probabilities, spec.flips), decision, split_sha256)


def average_over_flips(probabilities: Callable[[Array], Array], flips: tuple[Flip, ...]) -> Callable[[Array], Array]:
    """Averages over mirrored inputs, with maps mirrored back, as the service does."""

    def over_flips(x: Array) -> Array:
        parts = [(probabilities(mirrored(x, axes)), axes) for axes in orientations(flips)]
        outputs: Array = np.stack([mirrored(p, axes) if p.ndim == 3 else p for p, axes in parts])
        return outputs.mean(axis=0, dtype=np.float32)  # type: ignore[no-any-return]

    return over_flips if flips else probabilities


def restore(state: dict[str, Any], recipe: Recipe) -> Normalised:
    """Builds the network of a checkpoint with its weights, in evaluation mode."""
    network = build(recipe, classes=len(state["classes"]))
    network.body.load_state_dict(state["weights"])
    return network.eval()
