"""Every task but single classes: each from a folder of small drawn images to a package that loads."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch

from models import package
from training import checkpoint, export, train
from training.config import Recipe
from training.evaluate import main as evaluate
from training.evaluated_model import model_from_checkpoint, model_from_package

DISCS = ((14, 12, 7), (14, 26, 7), (38, 34, 9))  # row, column, radius; the first two touch
TRAINING = {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "workers": 0, "precision": "bfloat16"}
PACKAGE = {"name": "drawn", "version": "1", "description": "Discs.", "data": "drawn discs"}
ALLOW = {"allow": {"near_duplicates": "all discs stand in the same places"}}
UNET = {"name": "unet", "options": {"depth": 2, "base_width": 4}}
AUGMENT = {"crop": (32, 32), "flip": ("horizontal",), "rotate_degrees": 20, "elastic": (16, 2), "gamma": (0.8, 1.2)}


def drawn(number: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """An image (52, 48) uint8 of noisy discs, and each disc's mask (52, 48) bool."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:52, :48]
    masks = [(y - r) ** 2 + (x - c) ** 2 < radius**2 for r, c, radius in DISCS]
    masks[1] &= ~masks[0]
    image = rng.integers(0, 40, (52, 48))
    for mask in masks:
        image[mask] += rng.integers(80, 200)
    return image.astype(np.uint8), masks


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(pixels.astype(np.uint8)))


def instance(folder: Path) -> dict[str, Any]:
    for n in range(20):
        image, masks = drawn(n)
        write(folder / f"{n:02}" / "images" / f"{n:02}.png", image)
        for i, mask in enumerate(masks):
            write(folder / f"{n:02}" / "masks" / f"{i}.png", mask * 255)
    data = {"loader": "data_science_bowl", "path": folder}
    return {"task": "instance", "data": data, "network": UNET, "augment": AUGMENT, "input": UNSIZED}


def semantic(folder: Path) -> dict[str, Any]:
    for n in range(20):
        image, masks = drawn(n)
        write(folder / "images" / f"{n}.png", image)
        write(folder / "masks" / f"{n}.png", np.any(masks, axis=0) * 255)
    data = {"loader": "mask_pairs", "path": folder}
    data["classes"] = {"background": 0, "disc": 255}
    network = {"name": "unet", "options": {**UNET["options"], "convolutions": "valid", "norm": "none"}}
    return {"task": "semantic", "data": data, "network": network, "augment": AUGMENT | {"crop": (60, 60)}} | {
        "input": UNSIZED,
        "training": TRAINING | {"batch_size": 2},
    }


def boundaries(folder: Path) -> dict[str, Any]:
    """The same, with mirrored borders and U-Net's deformation; the discs are cells in a wide membrane."""
    augment = {"crop": (60, 60), "border_px": 8, "deform_px": 2}
    return semantic(folder) | {"task": "boundaries", "augment": augment}


def multilabel_semantic(folder: Path) -> dict[str, Any]:
    """Discs, and the larger one once more by itself."""
    rows, about = ["Filename,Template Name,Mask,Top,Left"], ["filename,patientid,finding,view,sex"]
    for n in range(20):
        image, masks = drawn(n)
        write(folder / "images" / f"{n}.png", image)
        about.append(f"{n}.png,{n},,PA,F")
        for i, mask in enumerate(masks):
            write(folder / "masks" / f"{n}_{i}.png", mask * 255)
            rows.append(f"{n}.png,{'large' if i == 2 else 'small'},masks/{n}_{i}.png,0,0")
    (folder / "structure.csv").write_text("\n".join(rows) + "\n")
    (folder / "metadata.csv").write_text("\n".join(about) + "\n")
    data = {"loader": "covid_cxr", "path": folder, "classes": {"disc": ("small", "large"), "large": ("large",)}}
    return {"task": "multilabel_semantic", "data": data, "network": UNET, "augment": AUGMENT, "input": UNSIZED}


def multilabel(folder: Path) -> dict[str, Any]:
    rows = ["file,label"]
    for n in range(20):
        write(folder / f"{n}.png", drawn(n)[0])
        rows.append(f"{n}.png," + ("left|right" if n % 4 == 0 else "left" if n % 2 else "right"))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    data = {"loader": "table", "path": folder / "labels.csv", "images": folder, "separator": "|"}
    network = {"name": "resnet18", "options": {"width": 8, "stem": "small"}}
    return {"task": "multilabel", "data": data, "network": network, "input": UNSIZED | {"size": (32, 32)}}


FIGURES = {
    "boundaries": {"v_rand", "warping_error", "pixel_error"},
    "multilabel_semantic": {"dice", "dice[disc]", "dice[large]"},
    "multilabel": {"f1[left]", "auroc[left]"},
}
UNSIZED = {
    "channels": 1,
    "root": True,
    "steps": [{"id": "ensure_dtype"}, {"id": "scale_range"}, {"id": "ensure_dtype"}],
}


@pytest.mark.parametrize(
    "kind", [instance, semantic, boundaries, multilabel_semantic, multilabel], ids=lambda kind: kind.__name__
)
def test_from_a_folder_to_a_package(kind: Any, tmp_path: Path) -> None:
    values = {"name": "drawn", "training": TRAINING, "package": PACKAGE, "split": {"folds": 4}, "audit": ALLOW}
    values |= kind(tmp_path / "data")
    recipe, run = Recipe.model_validate(values), tmp_path / "run"
    train.main(recipe, run=run, device="cpu")
    subject, _ = model_from_checkpoint(run / checkpoint.BEST, device=torch.device("cpu"))
    figures = evaluate(subject, recipe, split="test", out=run)
    assert {figure.n for figure in figures if "[no copy" not in figure.metric} == {5}  # discs are much alike
    assert {figure.metric for figure in figures} >= FIGURES.get(kind.__name__, set())
    assert (run / "worst.png").exists() == (kind is not multilabel)

    made: package.Package = export.main(run / checkpoint.BEST, root=tmp_path / "packages")
    spec = made.spec
    assert spec.provenance is not None
    assert spec.provenance.allowed == ALLOW["allow"]
    assert (spec.task == "segmentation") == (spec.cam is None) == (kind is not multilabel)
    served = model_from_package(made.folder)
    x = np.random.default_rng(0).random((1, *(spec.input.size or (45, 61))), dtype=np.float32)
    assert np.abs(served.probabilities(x) - subject.probabilities(x)).max() < 1e-4
    assert served.decision.thresholds == subject.decision.thresholds
