import pytest
import torch

from models.architectures.densenet import DenseNet121
from training.network_geometry import classifier_geometry


@pytest.mark.parametrize(("side", "map_side"), [(224, 7), (64, 2), (96, 3)])
def test_the_logits_are_the_means_of_the_maps(side: int, map_side: int) -> None:
    torch.manual_seed(0)
    network = DenseNet121(in_channels=1, num_classes=3, growth=4).eval()
    with torch.no_grad():
        logits, cam = network.forward_with_cam(torch.randn(2, 1, side, side))
    assert cam.shape == (2, 3, map_side, map_side)
    torch.testing.assert_close(logits, cam.mean(dim=(2, 3)) + network.classifier.bias)


def test_a_layer_keeps_what_it_is_given() -> None:
    torch.manual_seed(0)
    block = DenseNet121(in_channels=1, num_classes=3, growth=4).eval().features.denseblock1
    x = torch.randn(1, 8, 5, 5)
    with torch.no_grad():
        out = block(x)
    assert out.shape == (1, 8 + 6 * 4, 5, 5)
    torch.testing.assert_close(out[:, :8], x)


def test_its_receptive_field_is_the_published_one() -> None:
    """Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill 2019."""
    geometry = classifier_geometry(DenseNet121(in_channels=1, num_classes=2, growth=4), in_channels=1, size=64)
    assert (geometry.stride, geometry.receptive_field) == (32, 2071)
