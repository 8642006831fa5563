"""Layer table of a network.

python -m training.summary resnet50 --input 224

Each layer's output, parameters, multiply-adds, receptive field, stride and memory. Nothing is computed or allocated, so
it takes only the time of importing torch, whatever the size of the network.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from models.architectures import ARCHITECTURES
from training.build import build
from training.config import read_recipe
from training.layer_trace import Layer, trace

HEADINGS = ("layer", "operation", "output", "parameters", "multiply-adds", "receptive field", "stride", "memory")
MIB = 2**20


def main(
    network: str, *, size: tuple[int, ...] | None = None, channels: int | None = None, classes: int, batch: int
) -> str:
    """Returns the table of an architecture (by name) or a recipe (by path); `size` is --input."""
    body, channels, default_size = (
        architecture_network(network, channels, classes)
        if network in ARCHITECTURES
        else recipe_network(network, classes)
    )
    size = size or default_size
    if size is None:
        raise ValueError(f"{network} takes images of any size: choose one with --input, such as --input 224.")
    return table(trace(body, shape=input_shape(body, channels, size)), body, batch=batch)


def architecture_network(
    name: str, channels: int | None, classes: int
) -> tuple[nn.Module, int, tuple[int, ...] | None]:
    """Builds an architecture with its default options."""
    channels = channels or 3
    with torch.device("meta"):
        network = ARCHITECTURES[name](channels, classes)
    return network, channels, getattr(network, "input_size", None)


def recipe_network(path: str, classes: int) -> tuple[nn.Module, int, tuple[int, ...] | None]:
    """Builds a recipe's network; returns its channels and size too."""
    if not Path(path).is_file():
        raise ValueError(f"{path!r} is neither a recipe file nor one of {sorted(ARCHITECTURES)}.")
    loaded = read_recipe(Path(path))
    with torch.device("meta"):
        network = build(loaded, classes=classes).body
    size = loaded.input.size
    return network, loaded.input.channels, size[1:] if size and loaded.input.kind == "signal" else size


def input_shape(network: nn.Module, channels: int, size: tuple[int, ...]) -> tuple[int, ...]:
    """Returns (channels, px, ...); a single number is every axis, one number more than axes includes the channels."""
    axes = next(p.ndim - 2 for p in network.parameters() if p.ndim > 2)  # of the first convolution
    if len(size) == 1:
        return channels, *size * axes
    if len(size) == axes:
        return channels, *size
    if len(size) == axes + 1:
        return size
    raise ValueError(f"--input {'x'.join(map(str, size))}: the network's images have {axes} axes.")


def table(layers: Sequence[Layer], network: nn.Module, *, batch: int) -> str:
    """Formats one line per layer and the totals."""
    rows = [_row(layer, batch) for layer in layers]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (HEADINGS, *rows)]
    parameters, used = sum(p.numel() for p in network.parameters()), sum(layer.parameters for layer in layers)
    totals = [
        f"parameters     {parameters:,}"
        + (f", {parameters - used:,} of them used only in training" * (used < parameters)),
        f"multiply-adds  {sum(layer.multiply_adds for layer in layers):,} per image",
        f"activations    {batch * sum(layer.memory for layer in layers) / MIB:,.1f} MiB for a batch of {batch}",
    ]
    return "\n".join([*lines, "", *totals])


def _row(layer: Layer, batch: int) -> tuple[str, ...]:
    return (
        layer.name,
        layer.kind,
        _sides(layer.shape),
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        _axes(layer.receptive_field) or "whole image",
        _axes(layer.stride),
        f"{batch * layer.memory / MIB:,.2f} MiB",
    )


def _sides(values: Sequence[float]) -> str:
    return "x".join(f"{value:g}" for value in values)


def _axes(values: Sequence[float]) -> str:
    """Formats the value of each axis, or a single value if all are equal."""
    return _sides(values[:1] if len(set(values)) == 1 else values)


def _size(text: str) -> tuple[int, ...]:
    """Parses 224, 224x224 or 1x140."""
    return tuple(int(side) for side in text.split("x"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", help="name of an architecture, or a recipe file")
    parser.add_argument(
        "--input", type=_size, help="size in px: 224 or 224x160; with channels first: 1x224x224 or 4x57"
    )
    parser.add_argument("--channels", type=int, help="input channels of an architecture (default 3)")
    parser.add_argument("--classes", type=int, default=1000, help="number of classes (default 1000)")
    parser.add_argument("--batch", type=int, default=1, help="images per batch, for the memory total")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    try:
        print(main(args.network, size=args.input, channels=args.channels, classes=args.classes, batch=args.batch))
    except ValueError as error:
        raise SystemExit(str(error)) from None
