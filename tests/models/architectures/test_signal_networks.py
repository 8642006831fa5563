"""Networks of signals: sizes, and maps whose means are the logits."""

import pytest
import torch
from torch import Tensor, nn

from models.architectures.cam_head import classify_with_map as classify_images_with_map
from models.architectures.signal_networks import CNN1d, ResNet1d, classify_with_map


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("network", "length", "map_length"),
    [
        (CNN1d(4, 3, widths=(4, 8, 8)), 57, 14),  # 57 -> 28 -> 14
        (CNN1d(1, 3, widths=(4,), kernel=3), 140, 140),
        (CNN1d(4, 3, widths=(4, 8), aligned=57), 57, 28),
        (ResNet1d(1, 3, width=4), 320, 10),
        (ResNet1d(1, 3, width=4, stem="small"), 140, 18),  # 140 -> 70 -> 35 -> 18
        (ResNet1d(2, 3, width=4, blocks=(1, 1), kernel=7), 128, 16),
    ],
)
def test_a_logit_is_its_maps_mean_plus_the_bias(network: nn.Module, length: int, map_length: int) -> None:
    channels = next(network.parameters()).shape[1]
    logits, cam = network.eval().forward_with_cam(torch.randn(2, channels, length))
    assert cam.shape == (2, 3, map_length)
    torch.testing.assert_close(cam.mean(dim=2) + network.fc.bias, logits)


def test_a_signals_map_is_that_of_an_image_one_pixel_high() -> None:
    features, fc = torch.randn(2, 8, 11), nn.Linear(8, 3)
    logits, cam = classify_with_map(features, fc)
    same_logits, same_cam = classify_images_with_map(features[:, :, None], fc)
    torch.testing.assert_close(logits, same_logits)
    torch.testing.assert_close(cam, same_cam[:, :, 0])


def test_aligned_places_are_weighed_one_by_one() -> None:
    """The head is a linear layer over the flattened features, and its map what each place adds, times their number."""
    features, fc = torch.randn(2, 8, 11), nn.Linear(8 * 11, 3)
    logits, cam = classify_with_map(features, fc)
    torch.testing.assert_close(logits, fc(features.flatten(1)))
    part = fc.weight.unflatten(1, (8, 11))[1, :, 4] @ features[0, :, 4]
    torch.testing.assert_close(cam[0, 1, 4], 11 * part)


@pytest.mark.parametrize(("width", "count"), [(64, 3_846_469), (16, None)])
def test_parameters_are_resnet18s_with_one_kernel_axis_less(width: int, count: int | None) -> None:
    """4 stages of 2 blocks of 2 convolutions (3 samples), 3 shortcuts of 1, a stem of 7, 2 a channel of each norm."""
    w = [width, 2 * width, 4 * width, 8 * width]
    main = [(a, b) for i, b in enumerate(w) for a in (w[max(0, i - 1)], b, b, b)]
    convolutions = 7 * width + sum(3 * a * b for a, b in main) + sum(a * b for a, b in zip(w, w[1:]))
    norms = 2 * (width + sum(b for _, b in main) + sum(w[1:]))
    with torch.device("meta"):
        network = ResNet1d(in_channels=1, num_classes=5, width=width)
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == convolutions + norms + 8 * width * 5 + 5
    assert count in (None, found)


def test_it_learns_where_a_bump_is() -> None:
    """Signals with a bump and without: told apart after a few steps, and the map is highest near the bump."""
    network = CNN1d(1, 2, widths=(8, 8), kernel=5)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        x, place, truth = bumps(32)
        loss = nn.functional.cross_entropy(network(x), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, place, truth = bumps(64)
    logits, cam = network.eval().forward_with_cam(x)
    assert (logits.argmax(dim=1) == truth).float().mean() > 0.95
    off = (cam[:, 1].argmax(dim=1) * 2 - place).abs()[truth == 1]
    assert (off <= 8).float().mean() > 0.9


def bumps(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """(count, 1, 64) of noise, every other with eight samples raised around its place; places; 1 where there is one."""
    truth = torch.arange(count) % 2
    place = torch.randint(8, 56, (count,))
    distance = (torch.arange(64) - place[:, None]).abs()
    return (0.3 * torch.randn(count, 64) + 2.0 * (distance < 5) * truth[:, None])[:, None], place, truth
