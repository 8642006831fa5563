"""What a package says of its data: equal data, equal digest; usual images within the ranges."""

import numpy as np

from models.preprocess import ZeroMeanUnitVariance, intensity_figures
from training.data.examples import Example, constant
from training.data_statistics import intensity_statistics, sample_images


def test_figures_of_a_known_tensor() -> None:
    tensor = np.linspace(0, 100, 101, dtype=np.float32).reshape(1, 1, 101)
    assert intensity_figures(tensor) == {"mean": 50.0, "std": np.float32(tensor.std()), "p1": 1.0, "p99": 99.0}


def test_a_large_image_has_about_the_figures_of_its_pixels() -> None:
    tensor = np.random.default_rng(0).normal(3, 2, (3, 1000, 1200)).astype(np.float32)
    figures = intensity_figures(tensor)
    assert abs(figures["mean"] - 3) < 0.02
    assert abs(figures["std"] - 2) < 0.02


def test_what_preprocessing_fixes_does_not_make_the_next_image_unusual() -> None:
    """Every image has mean 0 and deviation 1 but for rounding, and a new one differs by rounding only."""
    rng = np.random.default_rng(0)
    images = [ZeroMeanUnitVariance()(rng.integers(0, 256, (40, 40, 1)).astype(np.uint8)) for _ in range(50)]
    tensors = [image.transpose(2, 0, 1) for image in images]
    ranges = intensity_statistics([intensity_figures(x) for x in tensors[:49]])
    for name in ("mean", "std"):
        assert ranges[name]["low"] < intensity_figures(tensors[49])[name] < ranges[name]["high"]


def test_an_image_that_may_not_be_written_to_is_a_sample_all_the_same() -> None:
    """As one that is mapped from a file, or a view of its bytes."""
    pixels = np.frombuffer(bytes(range(12)), np.uint8).reshape(3, 4, 1)
    (sample,) = sample_images([Example("a", "a", "", None, lambda: pixels, constant(0))], count=1)
    assert (sample.numpy() == pixels).all()
