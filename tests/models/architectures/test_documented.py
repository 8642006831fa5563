"""docs/architectures.md: a row for each network, its parameters counted, its maps as the network gives them."""

import re
from pathlib import Path

import pytest
import torch

from models.architectures import ARCHITECTURES

ROW = re.compile(r"^\| `(\w+)` \| .* \| ([\d,]+) \((\d+), (\d+)\) \| (.*)\|$", re.MULTILINE)
ROWS = ROW.findall(Path("docs/architectures.md").read_text())
METHODS = {"cam": "CAM", "gradcam": "Grad-CAM", "hirescam": "HiResCAM"}


def test_each_architecture_has_one_row() -> None:
    assert sorted(name for name, *_ in ROWS) == sorted(ARCHITECTURES)


@pytest.mark.parametrize(("name", "count", "channels", "classes", "maps"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_says_what_the_network_has(name: str, count: str, channels: str, classes: str, maps: str) -> None:
    with torch.device("meta"):
        network = ARCHITECTURES[name](int(channels), int(classes))
    assert f"{sum(parameter.numel() for parameter in network.parameters()):,}" == count
    methods = getattr(network, "cam_methods", ("cam",)) if hasattr(network, "forward_with_cam") else ()
    assert maps.strip() == ", ".join(METHODS[method] for method in methods)
