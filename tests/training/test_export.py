"""Tests of the export of a package: its samples, its plots, and its test input."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from models.geometry import Geometry
from training.config import read_recipe
from training.export import PLOT_BYTES, network_input, plots, prepared, sample_files


def test_a_package_brings_its_samples_and_the_smaller_plots_of_its_report(tmp_path: Path) -> None:
    samples = [np.full((8, 8, 1), value, np.uint8) for value in (10, 20, 30)]
    files = sample_files(samples, read_recipe(Path("training/recipes/digits.toml")))
    assert {name: int(imagecodecs.png_decode(file)[0, 0]) for name, file in files.items()} == {
        "sample.png": 30, "sample_2.png": 20, "sample_3.png": 10
    }  # fmt: skip
    for name, size in {"roc.png": 1000, "worst.png": PLOT_BYTES + 1, "best.pt": 10}.items():
        (tmp_path / name).write_bytes(bytes(size))
    assert plots(tmp_path) == {"roc.png": bytes(1000)}


def test_a_padded_test_input_is_prepared_as_the_service_proves_it() -> None:
    recipe = read_recipe(Path("training/recipes/covid_cxr.toml"))  # each image's mean and deviation
    geometry = Geometry(stride=16, receptive_field=93, halo=48, border=0, min_size=16, step=16)
    image = np.arange(250 * 251, dtype=np.float32).reshape(250, 251, 1)
    raw = network_input(image, recipe, geometry, steps=())
    assert raw.shape == (1, 1, 256, 256)
    x = prepared(raw, recipe)
    assert x.mean() == pytest.approx(0, abs=1e-4)  # of the padded image
    assert np.abs(x - network_input(image, recipe, geometry)).max() > 1e-3
