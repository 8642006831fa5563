"""How torch's operations carry the reach of their inputs to their output: a function a kind, and a dict of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from training.reach import Reach, drawn_from, interpolated, joined, repeated, shifted, transposed, windowed

Axes = tuple[Reach | None, ...]  # for each of a tensor's dimensions; None sees the whole image, or is no place in it
Arguments = Mapping[str, Any]  # of the operation, by name
Rule = Callable[[Arguments, Axes, Tensor, Tensor], Axes]  # arguments, axes of the input, input, output


def bind(func: Any, args: Sequence[Any], kwargs: Arguments) -> Arguments:
    """The arguments of one torch operator by name, with its defaults."""
    declared = func._schema.arguments
    return {a.name: a.default_value for a in declared} | dict(zip((a.name for a in declared), args)) | dict(kwargs)


def window(given: Arguments) -> list[dict[str, int]]:
    """Kernel, stride, padding and dilation of a convolution or a pooling along each of its axes."""
    kernel = list(given["weight"].shape[2:]) if "weight" in given else list(given["kernel_size"])
    count = len(kernel)
    columns = [_each(given["stride"], count) or kernel, _each(given["padding"], count)]
    columns.append(_each(given.get("dilation", [1]), count))
    return [dict(zip(("kernel", "stride", "padding", "dilation"), sizes)) for sizes in zip(kernel, *columns)]


def _each(values: list[int], count: int) -> list[int]:
    """torch lets one number stand for all axes."""
    return list(values) * count if len(values) == 1 else list(values)


def _on(axes: Axes, rules: Sequence[Callable[[Reach], Reach | None]]) -> Axes:
    """Applies a rule to each of the last axes, where it is one of the image's."""
    head, tail = axes[: len(axes) - len(rules)], axes[len(axes) - len(rules) :]
    return *head, *(rule(reach) if reach else None for rule, reach in zip(rules, tail))


def _windowed(given: Arguments, axes: Axes, x: Tensor, y: Tensor) -> Axes:
    layer = transposed if given.get("transposed") else windowed
    return _on(axes, [lambda reach, w=w: layer(reach, **w) for w in window(given)])  # type: ignore[misc]


def _scaled(layer: Callable[..., Reach]) -> Rule:
    """Of upsampling by whole numbers; by any other the pattern has no period."""

    def rule(given: Arguments, axes: Axes, x: Tensor, y: Tensor) -> Axes:
        return tuple(
            layer(reach, times=after // before) if reach and after % before == 0 else None
            for reach, before, after in zip(axes, x.shape, y.shape)
        )

    return rule


def _shuffled(given: Arguments, axes: Axes, x: Tensor, y: Tensor) -> Axes:
    """Pixels to channels is a window without overlap; channels to pixels repeats what the place below sees."""
    if "downscale_factor" in given:
        side = given["downscale_factor"]
        return _on(axes, [lambda reach: windowed(reach, kernel=side, stride=side)] * 2)
    return _on(axes, [lambda reach: repeated(reach, times=given["upscale_factor"])] * 2)


def _adaptive(given: Arguments, axes: Axes, x: Tensor, y: Tensor) -> Axes:
    """Pooling to a size: plain pooling where it divides the input, the whole image where one place remains."""
    return tuple(
        windowed(reach, kernel=before // after, stride=before // after)
        if reach and before % after == 0 and (after > 1 or before == 1)
        else None
        for reach, before, after in zip(axes, x.shape, y.shape)
    )


def _padded(given: Arguments, axes: Axes, x: Tensor, y: Tensor) -> Axes:
    """torch counts padding from the last axis backwards: left, right, top, bottom ..."""
    before = list(given.get("pad", given.get("padding")) or ())[::2][::-1]
    return _on(axes, [lambda reach, p=p: shifted(reach, by=-p) for p in before])  # type: ignore[misc]


def _sliced(given: Arguments, axes: Axes, x: Tensor, y: Tensor) -> Axes:
    dim, step, start = given["dim"] % x.ndim, given["step"], given["start"] or 0
    reach, begin = axes[dim], start if start >= 0 else start + x.shape[dim]
    cut = reach and drawn_from(reach, lambda i: (i * step + begin,) * 2, down=step)
    return *axes[:dim], cut, *axes[dim + 1 :]


def _reordered(given: Arguments, axes: Axes, x: Tensor, y: Tensor) -> Axes:
    order = list(given.get("dims") or range(x.ndim))
    if "dim0" in given:
        order[given["dim0"]], order[given["dim1"]] = order[given["dim1"]], order[given["dim0"]]
    return tuple(axes[dim] for dim in order)


def _reshaped(given: Arguments, axes: Axes, x: Tensor, y: Tensor) -> Axes:
    """The last dimensions keep their meaning as far as they keep their sizes; those of 1 may come and go."""
    before = [(size, reach) for size, reach in zip(x.shape, axes) if size != 1]
    after: list[Reach | None] = []
    for size in reversed(y.shape):
        if size == 1:
            after.append(None)
        elif before and before[-1][0] == size:
            after.append(before.pop()[1])
        else:
            before = []
            after.append(None)
    return tuple(reversed(after))


LOCAL: dict[str, Rule] = {
    "convolution": _windowed,
    "max_pool2d_with_indices": _windowed,
    "max_pool3d_with_indices": _windowed,
    "avg_pool1d": _windowed,
    "avg_pool2d": _windowed,
    "avg_pool3d": _windowed,
    "_adaptive_avg_pool2d": _adaptive,
    "_adaptive_avg_pool3d": _adaptive,
    "upsample_nearest1d": _scaled(repeated),
    "upsample_nearest2d": _scaled(repeated),
    "upsample_nearest3d": _scaled(repeated),
    "upsample_linear1d": _scaled(interpolated),
    "upsample_bilinear2d": _scaled(interpolated),
    "upsample_trilinear3d": _scaled(interpolated),
    "pixel_shuffle": _shuffled,
    "pixel_unshuffle": _shuffled,
    "max_unpool2d": _scaled(repeated),
    "max_unpool3d": _scaled(repeated),
    "constant_pad_nd": _padded,
    "reflection_pad1d": _padded,
    "reflection_pad2d": _padded,
    "replication_pad2d": _padded,
    "slice": _sliced,
    "permute": _reordered,
    "transpose": _reordered,
}
RESHAPING = {"view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand"}


def carry(name: str, given: Arguments, inputs: Sequence[tuple[Tensor, Axes]], output: Tensor) -> Axes:
    """The axes of an operation's output. One without a rule is taken place by place, or sees the whole image."""
    first, axes = inputs[0]
    if name in RESHAPING:
        return _reshaped(given, axes, first, output)
    if name in LOCAL:
        return LOCAL[name](given, axes, first, output)
    if any(tensor.ndim != output.ndim for tensor, _ in inputs):
        return (None,) * output.ndim
    return tuple(_together(dim, inputs, output) for dim in range(output.ndim))


def _together(dim: int, inputs: Sequence[tuple[Tensor, Axes]], output: Tensor) -> Reach | None:
    """Of sums, products and concatenations: what any of the inputs sees."""
    reaches = [axes[dim] for tensor, axes in inputs if tensor.shape[dim] == output.shape[dim]]
    known = [reach for reach in reaches if reach is not None]
    return joined(known) if known and len(known) == len(inputs) else None
