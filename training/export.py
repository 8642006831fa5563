"""Export of a checkpoint as a model package.

python -m training.export runs/nuclei/best.pt

checkpoint -> ONNX -> PyTorch and ONNX Runtime compared on real images -> package. Nothing is written if they differ.
"""

import argparse
import io
import json
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import onnx

from models import package
from models.evaluation import Figure
from models.geometry import Geometry
from models.image import Array
from models.preprocess import pad, prepare
from models.spec import Precision
from training import checkpoint
from training.build import Exported
from training.class_fields import class_fields
from training.config import Recipe
from training.evaluated_model import restore
from training.exported_maps import first_filters, map_outputs
from training.onnx_export import PROBABILITIES, TOLERANCE, in_precision, prove, run, to_onnx
from training.report import table
from training.tasks import TASKS
from training.tasks.training_task import Decision
from training.user_errors import exit_on_user_error

PLOT_BYTES = 256 * 2**10


def main(
    best: Path, *, root: Path, precision: Precision | None = None, taps: tuple[str, ...] | None = None
) -> package.Package:
    """Writes <root>/<name>/<version>/ from a run's best.pt and its report on the test split, if there is one.

    precision, taps: default to the recipe's.
    """
    state = checkpoint.load_best(best)
    recipe, decision = Recipe.model_validate(state["recipe"]), Decision(**state["decision"])
    task, geometry = TASKS[recipe.task], Geometry(**state["geometry"])
    restored = restore(state, recipe)
    taps = recipe.package.taps if taps is None else taps
    network = Exported(
        restored, activation=task.activation, temperature=decision.temperature, bias=decision.bias, taps=taps
    ).eval()
    samples = [sample.numpy() for sample in state["samples"]]
    tensors = [network_input(sample, recipe, geometry) for sample in samples]

    precision = precision or recipe.package.precision
    weights = to_onnx(in_precision(network, precision), tensors[0], step=None if recipe.input.size else geometry.step)
    tolerances = prove(network, weights, tensors, tolerance=TOLERANCE[precision])

    raw = network_input(samples[0], recipe, geometry, steps=())
    outputs = run(weights, prepared(raw, recipe))
    figures = read_figures(best.parent)
    fields = spec_fields(state, recipe, decision, geometry, figures, tolerances[PROBABILITIES])
    if recipe.input.size:
        fields["outputs"] += map_outputs(network, geometry, outputs, tolerances, side=recipe.input.size[0])
    folder = root / recipe.package.name / recipe.package.version
    return package.write(
        folder,
        {**fields, "precision": precision, "opset": onnx.load_from_string(weights).opset_import[0].version},
        weights=weights,
        test_input=raw,
        test_outputs=outputs,
        readme=readme(recipe, figures),
        filters=first_filters(restored.body) if taps else None,
        attachments=sample_files(samples, recipe) | plots(best.parent),
    )


def sample_files(samples: list[Array], recipe: Recipe) -> dict[str, bytes]:
    """Encodes sample images (H, W, C) as files for the service: sample.png, sample_2.png, ..."""
    signal = recipe.input.kind == "signal"
    names = ["sample", *(f"sample_{n}" for n in range(2, len(samples) + 1))]
    files = [
        _signal(sample) if signal else bytes(imagecodecs.png_encode(sample.squeeze(), level=9)) for sample in samples
    ]
    return {f"{name}.{'npy' if signal else 'png'}": file for name, file in zip(names, reversed(files))}


def _signal(sample: Array) -> bytes:
    np.save(file := io.BytesIO(), sample[0].T)  # (C, L)
    return file.getvalue()


def network_input(sample: Array, recipe: Recipe, geometry: Geometry, *, steps: tuple[Any, ...] | None = None) -> Array:
    """Prepares an image (H, W, C) with the recipe's steps, or with `steps`, and pads it: (1, C, h, w) float32."""
    config = recipe.input
    chosen = config.steps if steps is None else steps
    x = prepare(sample, channels=config.channels, size=config.size, steps=chosen)
    if config.size is None:
        smallest = max(geometry.min_size, -(-(2 * geometry.halo + 1) // geometry.step) * geometry.step)
        x = pad(x, min_size=smallest, step=geometry.step, border=geometry.border)
    return x[None]


def prepared(raw: Array, recipe: Recipe) -> Array:
    """Prepares the test input (1, C, h, w), as any reader of the package does.

    Here steps over the whole image see the padding, whereas the service pads the prepared image.
    """
    pixels = np.moveaxis(raw[0], 0, 2)
    return prepare(pixels, channels=recipe.input.channels, size=None, steps=recipe.input.steps)[None]


def spec_fields(
    state: dict[str, Any],
    recipe: Recipe,
    decision: Decision,
    geometry: Geometry,
    figures: list[Figure],
    tolerance: float,
) -> dict[str, Any]:
    """Returns every field of ModelSpec but the files and the maps; nothing here is typed in by hand.

    tolerance: of the probabilities.
    """
    about, task = recipe.package, TASKS[recipe.task]
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
            **recipe.input.model_dump(include={"kind", "channels", "letters", "size", "steps"}),
            "min_size": geometry.min_size,
            "step": geometry.step,
            "smallest_image": geometry.step if segments else -(-min(recipe.input.size or ()) // 8),
        },
        **class_fields(state["classes"], recipe, thresholds=decision.thresholds),
        "auxiliary": task.auxiliary,
        "activation": task.activation,
        "temperature": decision.temperature,
        "flips": about.flips,
        "objects": objects if recipe.task == "instance" else None,
        **{name: getattr(geometry, name) for name in ("receptive_field", "stride", "halo", "reach", "border")},
        "intensity": state["intensity"],
        "evaluation": figures,
        "provenance": {
            "recipe": recipe.name,
            "data": about.data,
            "data_sha256": state["data_sha256"],
            "split_sha256": state["split_sha256"],
            "commit": commit(),
            "trained": date.today().isoformat(),
            "allowed": state.get("allowed", {}),
            "weights": state.get("started_from", ""),
        },
        "outputs": [
            {
                "name": PROBABILITIES,
                "role": "probabilities",
                "axes": "NCYX" if segments else "NC",
                "tolerance": tolerance,
            }
        ],
    }


def read_figures(run_folder: Path) -> list[Figure]:
    """Reads the figures of the run's report on the test split, if it has been evaluated."""
    path = run_folder / "report-test.json"
    return [Figure(**figure) for figure in json.loads(path.read_text())["figures"]] if path.exists() else []


def plots(run_folder: Path) -> dict[str, bytes]:
    """Reads the plots of the run's report, such as roc.png, without large ones."""
    found = {path.name: path.read_bytes() for path in sorted(run_folder.glob("*.png"))}
    return {name: picture for name, picture in found.items() if len(picture) <= PLOT_BYTES}


def readme(recipe: Recipe, figures: list[Figure]) -> str:
    """Formats the package's documentation: purpose, figures and limits."""
    about = recipe.package
    parts = [f"# {about.name}", about.description, f"Trained on: {about.data}."]
    parts += ["## Validation", table(figures) if figures else "It has not been evaluated on a test split."]
    parts += ["## Limits", about.limits or "For research; not a medical device."]
    return "\n\n".join(parts) + "\n"


def commit() -> str:
    """Returns the repository's commit, or "" outside a repository."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    return found.stdout.strip()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a run's best.pt")
    parser.add_argument("--to", type=Path, default=Path("models/starter"), help="folder of the model repository")
    parser.add_argument("--taps", nargs="*", help="layers whose feature maps the package exposes, such as layer1")
    parser.add_argument("--precision", choices=sorted(TOLERANCE), help="precision of the network in the package")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    taps = None if args.taps is None else tuple(args.taps)
    with exit_on_user_error():
        print(main(args.checkpoint, root=args.to, precision=args.precision, taps=taps).folder)
