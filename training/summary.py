"""The table that students draw by hand: python -m training.summary resnet50 --input 224

Each layer's output, parameters, multiply-adds, receptive field, stride and memory. No number is computed and no weight
made: it takes the time of importing torch, whatever the network's size.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from models.architectures import ARCHITECTURES
from training.build import build
from training.config import read_recipe
from training.layers import Layer, trace

HEADINGS = ("layer", "operation", "output", "parameters", "multiply-adds", "receptive field", "stride", "memory")
MIB = 2**20


def main(
    network: str, *, size: tuple[int, ...] | None = None, channels: int | None = None, classes: int, batch: int
) -> str:
    """The table of an architecture's name or a recipe's path; `size` is as in --input."""
    built, channels, usual = named(network, channels, classes) if network in ARCHITECTURES else recipe(network, classes)
    size = size or usual
    if size is None:
        raise ValueError(f"{network} takes images of any size: give one by --input, such as --input 224.")
    return table(trace(built, shape=shape(built, channels, size)), built, batch=batch)


def named(name: str, channels: int | None, classes: int) -> tuple[nn.Module, int, tuple[int, ...] | None]:
    """An architecture with its usual options; it asks for the input's channels in its first parameter."""
    channels = channels or 3
    with torch.device("meta"):
        network = ARCHITECTURES[name](channels, classes)
    return network, channels, getattr(network, "input_size", None)


def recipe(path: str, classes: int) -> tuple[nn.Module, int, tuple[int, ...] | None]:
    """A recipe's network, with its options, channels and size."""
    if not Path(path).is_file():
        raise ValueError(f"{path!r} is neither a recipe's file nor one of {sorted(ARCHITECTURES)}.")
    found = read_recipe(Path(path))
    with torch.device("meta"):
        network = build(found, classes=classes).body
    size = found.input.size
    return network, found.input.channels, size[1:] if size and found.input.kind == "signal" else size


def shape(network: nn.Module, channels: int, size: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, px, ...): one number stands for all axes of the image; one more than the axes gives the channels."""
    axes = next(p.ndim - 2 for p in network.parameters() if p.ndim > 2)  # of the first convolution
    if len(size) == 1:
        return channels, *size * axes
    if len(size) == axes:
        return channels, *size
    if len(size) == axes + 1:
        return size
    raise ValueError(f"--input {'x'.join(map(str, size))}: the network's images have {axes} axes.")


def table(layers: Sequence[Layer], network: nn.Module, *, batch: int) -> str:
    """Aligned columns, a line a layer, and the totals."""
    rows = [_row(layer, batch) for layer in layers]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (HEADINGS, *rows)]
    parameters, used = sum(p.numel() for p in network.parameters()), sum(layer.parameters for layer in layers)
    totals = [
        f"parameters     {parameters:,}" + (f", {parameters - used:,} of them in training only" * (used < parameters)),
        f"multiply-adds  {sum(layer.multiply_adds for layer in layers):,} an image",
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
    """Once, where all axes are alike."""
    return _sides(values[:1] if len(set(values)) == 1 else values)


def _size(text: str) -> tuple[int, ...]:
    """224 or 224x224 or 1x140."""
    return tuple(int(side) for side in text.split("x"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", help="an architecture's name, or a recipe's file")
    parser.add_argument("--input", type=_size, help="px: 224, 224x160; with the channels in front: 1x224x224, 4x57")
    parser.add_argument("--channels", type=int, help="of the input, for an architecture; 3 if not given")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=1, help="images that are held in memory together")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    try:
        print(main(args.network, size=args.input, channels=args.channels, classes=args.classes, batch=args.batch))
    except ValueError as error:
        raise SystemExit(str(error)) from None
