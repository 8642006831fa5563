"""Descriptions of the tiny packages, as the fields that `models.package.write` takes."""

from typing import Any

from tests.package_parts import CAM, PROBABILITIES, PROBABILITY_MAPS

SIDE = 16  # px of the test input
STEPS = (
    {"id": "ensure_dtype"},
    {"id": "scale_range", "min_percentile": 1.0, "max_percentile": 99.8},
    {"id": "clip", "min": 0.0, "max": 1.0},
)


def classifier_fields() -> dict[str, Any]:
    return {
        "name": "tiny-classifier",
        "version": "1",
        "description": "Two convolutions that tell three classes apart by chance.",
        "task": "classification",
        "architecture": "resnet18",
        "input": {"channels": 1, "size": (SIDE, SIDE), "smallest_image": 4, "steps": STEPS},
        "classes": [{"label": "normal"}, {"label": "viral pneumonia"}, {"label": "bacterial"}],
        "activation": "softmax",
        "outputs": [PROBABILITIES, CAM | {"size": (5, 5), "stride": 4}],
        "receptive_field": 3,
        "stride": 3,
        "opset": 17,
        "cite": [("LeCun 1998", "10.1109/5.726791")],
    }


def multi_label_fields() -> dict[str, Any]:
    """Colour, several classes at once, and labels that are no identifiers, or become the same one."""
    return classifier_fields() | {
        "name": "tiny-multi-label",
        "input": {"channels": 3, "size": (SIDE, SIDE), "steps": [{"id": "scale_linear", "gain": 1 / 255}]},
        "classes": [{"label": "0"}, {"label": "class"}, {"label": "a b"}, {"label": "a_b"}],
        "activation": "sigmoid",
    }


def signal_fields() -> dict[str, Any]:
    """One-hot sequences of 16 letters."""
    steps = [{"id": "ensure_dtype"}]
    return classifier_fields() | {
        "name": "tiny-signal",
        "input": {"kind": "signal", "channels": 4, "letters": "acgt", "size": (1, SIDE), "steps": steps},
        "outputs": [PROBABILITIES, CAM | {"size": (1, 5), "stride": 3}],
    }


def segmenter_fields() -> dict[str, Any]:
    return {
        "name": "tiny-segmenter",
        "version": "1.2",
        "description": "Two convolutions that find nuclei and their seeds by chance.",
        "task": "segmentation",
        "architecture": "unet",
        "input": {"channels": 3, "min_size": 2, "step": 2, "steps": STEPS},
        "classes": [{"label": "nucleus", "colour": "#56b4e9"}],
        "auxiliary": ["seed"],
        "outputs": [PROBABILITY_MAPS],
        "activation": "sigmoid",
        "objects": {"foreground": "nucleus", "seeds": "seed", "seed_threshold": 0.6, "min_area_px": 3},
        "receptive_field": 3,
        "stride": 1,
        "halo": 2,
        "opset": 17,
        "cite": [("LeCun 1998", "10.1109/5.726791")],
    }


def valid_segmenter_fields() -> dict[str, Any]:
    changes = {
        "name": "tiny-valid",
        "input": {"channels": 1, "min_size": 6, "step": 4, "steps": [{"id": "zero_mean_unit_variance"}]},
        "classes": [{"label": "background"}, {"label": "membrane"}, {"label": "synapse"}],
        "auxiliary": [],
        "activation": "softmax",
        "objects": None,
        "halo": 0,
        "border": 1,
    }
    return segmenter_fields() | changes


def everything_fields() -> dict[str, Any]:
    """A description in which every field is set, and to something that is not its default."""
    low_high = {"low": -0.5, "high": 1.25}
    return segmenter_fields() | {
        "license": "CC-BY-4.0",
        "authors": ("A. Person", "B. Person"),
        "cite": (("Ronneberger 2015", "10.1007/978-3-319-24574-4_28"),),
        "classes": [
            {
                "label": "nucleus",
                "name": "cell nucleus (µ)",
                "colour": "#56b4e9",
                "threshold": 0.25,
                "ontology": "GO:0005634",
                "parent": "seed",
            }
        ],
        "temperature": 1.5,
        "flips": ("horizontal", "vertical"),
        "pixel_size_um": 0.325,
        "reach": "image",
        "intensity": dict.fromkeys(("mean", "std", "p1", "p99"), low_high),
        "evaluation": [{"metric": "dice", "value": 0.9, "low": 0.85, "high": 0.95, "n": 60, "split": "test"}],
        "provenance": {
            "recipe": "nuclei",
            "data": "BBBC038, CC0",
            "data_sha256": "a" * 64,
            "split_sha256": "b" * 64,
            "commit": "0123abc",
            "trained": "2026-11-20",
        },
        "outputs": [PROBABILITY_MAPS | {"tolerance": 5e-5}],
        "precision": "half",
    }
