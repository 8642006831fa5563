"""From a checkpoint to a model package: python -m training.export runs/nuclei/best.pt

checkpoint -> ONNX -> PyTorch and ONNX Runtime compared on real images -> package. Nothing is written that differs.
"""

import argparse
import itertools
import json
import logging
import subprocess
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from models import package
from models.image import Array
from models.preprocess import pad, prepare
from models.spec import Figure
from training import checkpoint
from training.build import Exported
from training.config import Recipe
from training.geometry import Geometry
from training.report import table
from training.subject import restore
from training.tasks import TASKS, Decision

# Told apart by colour-blind people too (Okabe and Ito 2008).
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
TOLERANCE = 1e-4  # largest difference between PyTorch's and ONNX Runtime's outputs


# It names four torchvision operations that no network here has.
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)


class ExportError(Exception):
    """The graph does not do what the network does; no package was written."""


def main(best: Path, *, root: Path) -> package.Package:
    """Writes <root>/<name>/<version>/ from a run's best.pt and, where there is one, its report on the test split."""
    state = checkpoint.load(best)
    recipe, decision = Recipe.model_validate(state["recipe"]), Decision(**state["decision"])
    task, geometry = TASKS[recipe.task], Geometry(**state["geometry"])
    network = Exported(restore(state, recipe), activation=task.activation, temperature=decision.temperature).eval()
    samples = [sample.numpy() for sample in state["samples"]]
    tensors = [network_input(sample, recipe, geometry) for sample in samples]

    weights = to_onnx(network, tensors[0], step=None if recipe.input.size else geometry.step)
    prove(network, weights, tensors)

    raw = network_input(samples[0], recipe, geometry, steps=())
    outputs = run(weights, tensors[0])
    figures = read_figures(best.parent)
    fields = spec_fields(state, recipe, decision, geometry, figures, outputs)
    folder = root / recipe.package.name / recipe.package.version
    return package.write(
        folder,
        {**fields, "opset": onnx.load_from_string(weights).opset_import[0].version},
        weights=weights,
        test_input=raw,
        test_outputs=outputs,
        readme=readme(recipe, figures),
        attachments={"sample.png": imagecodecs.png_encode(samples[-1].squeeze(), level=9)},
    )


def network_input(sample: Array, recipe: Recipe, geometry: Geometry, *, steps: tuple[Any, ...] | None = None) -> Array:
    """An image (H, W, C) -> (1, C, h, w) float32, prepared by the recipe's steps or by these, and padded."""
    config = recipe.input
    chosen = config.steps if steps is None else steps
    x = prepare(sample, channels=config.channels, size=config.size, steps=chosen)
    if config.size is None:
        smallest = max(geometry.min_size, -(-(2 * geometry.halo + 1) // geometry.step) * geometry.step)
        x = pad(x, min_size=smallest, step=geometry.step, border=geometry.border)
    return x[None]


def to_onnx(network: nn.Module, x: Array, *, step: int | None) -> bytes:
    """ONNX with a free batch size; with `step`, height and width are free too, in multiples of it."""
    shape: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=1024)}
    if step:
        shape |= {2: step * torch.export.Dim("rows", min=1), 3: step * torch.export.Dim("columns", min=1)}
    names = ["probabilities", "cam"] if isinstance(network(torch.from_numpy(x)), tuple) else ["probabilities"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13's exporter warns of torch 2.13's own tree code
        program = torch.onnx.export(
            network,
            (torch.from_numpy(np.concatenate([x, x])),),  # one image would fix the batch at one
            input_names=["image"],
            output_names=names,
            dynamic_shapes=(shape,),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def run(weights: bytes, x: Array) -> dict[str, Array]:
    """What ONNX Runtime on the CPU answers, by output name."""
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, {"image": x})))


@torch.no_grad()
def prove(network: nn.Module, weights: bytes, tensors: list[Array]) -> None:
    """Raises ExportError where an output differs by more than TOLERANCE on any of the real inputs."""
    for number, x in enumerate(tensors):
        expected = network(torch.from_numpy(x))
        for (name, got), want in zip(run(weights, x).items(), expected if isinstance(expected, tuple) else [expected]):
            difference = float(np.abs(got - _numpy(want)).max())
            print(f"image {number}: {name} {got.shape} differs by at most {difference:.1e}")
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"{name} differs by {difference:.2e} on image {number}; at most {TOLERANCE} is allowed."
                )


def _numpy(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def spec_fields(
    state: dict[str, Any],
    recipe: Recipe,
    decision: Decision,
    geometry: Geometry,
    figures: list[Figure],
    outputs: dict[str, Array],
) -> dict[str, Any]:
    """Every field of ModelSpec but the files; nothing here is typed in by hand."""
    about, task = recipe.package, TASKS[recipe.task]
    cam = outputs.get("cam")
    objects = {"foreground": state["classes"][0], "seeds": "core"} | {
        name: getattr(decision, name) for name in ("seed_threshold", "min_area_px")
    }
    segments = recipe.input.size is None
    return {
        "name": about.name,
        "version": about.version,
        "description": about.description,
        "license": about.license,
        "cite": about.cite,
        "task": "segmentation" if segments else "classification",
        "architecture": recipe.network.name,
        "input": {
            **recipe.input.model_dump(include={"channels", "size", "steps"}),
            "min_size": geometry.min_size,
            "step": geometry.step,
            "smallest_image": geometry.step if segments else -(-min(recipe.input.size or ()) // 8),
        },
        "classes": [
            {"label": label, "name": about.names.get(label, ""), "threshold": cut, "colour": colour}
            for label, cut, colour in zip(state["classes"], decision.thresholds, itertools.cycle(COLOURS))
        ],
        "auxiliary": task.auxiliary,
        "activation": task.activation,
        "temperature": decision.temperature,
        "cam": None if cam is None else cam_fields(recipe, geometry, cam),
        "objects": objects if recipe.task == "objects" else None,
        **{name: getattr(geometry, name) for name in ("receptive_field", "stride", "halo", "border")},
        "intensity": state["intensity"],
        "evaluation": figures,
        "provenance": {
            "recipe": recipe.name,
            "data": about.data,
            "data_sha256": state["data_sha256"],
            "split_sha256": state["split_sha256"],
            "commit": commit(),
            "trained": date.today().isoformat(),
        },
        "tolerance": TOLERANCE,
    }


def cam_fields(recipe: Recipe, geometry: Geometry, cam: Array) -> dict[str, Any]:
    """cam (1, K, h, w). The maps of a global-average-pooling head are its own terms, of any other head Grad-CAM."""
    method = "gradcam" if recipe.network.name == "lenet5" else "cam"
    return {"method": method, "size": cam.shape[2:], "origin": geometry.origin, "stride": geometry.stride}


def read_figures(run_folder: Path) -> list[Figure]:
    """The figures of the run's report on the test split; none where it has not been evaluated."""
    path = run_folder / "report-test.json"
    return [Figure(**figure) for figure in json.loads(path.read_text())["figures"]] if path.exists() else []


def readme(recipe: Recipe, figures: list[Figure]) -> str:
    """The package's documentation: what it is, how good it is, what it is not for."""
    about = recipe.package
    parts = [f"# {about.name}", about.description, f"Trained on: {about.data}."]
    parts += ["## Validation", table(figures) if figures else "It has not been evaluated on a test split."]
    parts += ["## Limits", about.limits or "For research; not a medical device."]
    return "\n\n".join(parts) + "\n"


def commit() -> str:
    """The repository's commit, or "" outside one."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    return found.stdout.strip()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a run's best.pt")
    parser.add_argument("--to", type=Path, default=Path("models/starter"), help="the model repository's folder")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    print(main(args.checkpoint, root=args.to).folder)
