"""What is evaluated: a checkpoint or an exported package, asked the same question."""

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
from training.build import build
from training.config import Recipe
from training.predict import Predictor
from training.task import Decision, activate, calibrated
from training.tasks import TASKS


@dataclass(frozen=True, slots=True)
class Subject:
    """probabilities: one prepared input (C, H, W) float32 -> (K,) or (K, H, W) float32.

    split_sha256: of the split that it was trained on, "" where that is not known.
    """

    probabilities: Callable[[Array], Array]
    decision: Decision
    split_sha256: str = ""


def of_checkpoint(path: Path, *, device: torch.device) -> tuple[Subject, Recipe]:
    """A run's best.pt, and the recipe that made it."""
    state = checkpoint.load_best(path)
    recipe, decision = Recipe.model_validate(state["recipe"]), Decision(**state["decision"])
    task, network = TASKS[recipe.task], restore(state, recipe)
    geometry = None if recipe.input.size else Geometry(**state["geometry"])
    predictor = Predictor(network.to(device), device, geometry)

    def probabilities(x: Array) -> Array:
        logits = torch.from_numpy(predictor(x))[None]
        decided = calibrated(logits, temperature=decision.temperature, bias=decision.bias)
        return activate(decided, task.activation)[0].numpy()

    return Subject(averaged(probabilities, recipe.package.flips), decision, state["split_sha256"]), recipe


def of_package(folder: Path) -> Subject:
    """A package, run by ONNX Runtime on the CPU."""
    spec = (found := package.read(folder)).spec
    session = onnxruntime.InferenceSession(found.weights, providers=["CPUExecutionProvider"])
    (name,) = (tensor.name for tensor in session.get_inputs())
    output = spec.name_of("probabilities")

    def probabilities(x: Array) -> Array:
        if spec.input.size:
            return session.run([output], {name: x[None]})[0][0]
        padded = pad(x, min_size=spec.input.min_size, step=spec.input.step, border=spec.border)
        return session.run([output], {name: padded[None]})[0][0][:, : x.shape[1], : x.shape[2]]

    decision = Decision(thresholds=tuple(c.threshold for c in spec.classes))
    if spec.objects:
        decision = Decision(
            decision.thresholds, seed_threshold=spec.objects.seed_threshold, min_area_px=spec.objects.min_area_px
        )
    known = spec.provenance.split_sha256 if spec.provenance else ""
    return Subject(averaged(probabilities, spec.flips), decision, known)


def averaged(probabilities: Callable[[Array], Array], flips: tuple[Flip, ...]) -> Callable[[Array], Array]:
    """The mean over the mirrored inputs, maps mirrored back: what the service answers."""

    def over_flips(x: Array) -> Array:
        parts = [(probabilities(mirrored(x, axes)), axes) for axes in orientations(flips)]
        return np.mean([mirrored(p, axes) if p.ndim == 3 else p for p, axes in parts], axis=0, dtype=np.float32)

    return over_flips if flips else probabilities


def restore(state: dict[str, Any], recipe: Recipe) -> torch.nn.Module:
    """The network of a checkpoint's state, with its weights, ready to answer."""
    network = build(recipe, classes=len(state["classes"]))
    network.body.load_state_dict(state["weights"])
    return network.eval()
