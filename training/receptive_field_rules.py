"""Rules that propagate receptive fields through torch operations, in one dict."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from training.receptive_field import (
    Reach,
    after_linear_upsampling,
    after_nearest_upsampling,
    after_shift,
    after_transposed_convolution,
    after_window,
    compose,
    union,
)

AxisReaches = tuple[Reach | None, ...]  # of a tensor's dimensions; None: sees the whole image, or is no image axis
Arguments = Mapping[str, Any]  # of an operation, by name
Rule = Callable[[Arguments, AxisReaches, Tensor, Tensor], AxisReaches]  # arguments, axes of the input, input, output


def bind_arguments(func: Any, args: Sequence[Any], kwargs: Arguments) -> Arguments:
    """Returns the arguments of a torch operator by name, with defaults."""
    declared = func._schema.arguments
    return {a.name: a.default_value for a in declared} | dict(zip((a.name for a in declared), args)) | dict(kwargs)


def window_sizes(arguments: Arguments) -> list[dict[str, int]]:
    """Returns kernel, stride, padding and dilation of a convolution or pooling along each axis."""
    kernel = list(arguments["weight"].shape[2:]) if "weight" in arguments else list(arguments["kernel_size"])
    count = len(kernel)
    columns = [_expand(arguments["stride"], count) or kernel, _expand(arguments["padding"], count)]
    columns.append(_expand(arguments.get("dilation", [1]), count))
    return [dict(zip(("kernel", "stride", "padding", "dilation"), sizes)) for sizes in zip(kernel, *columns)]


def _expand(values: list[int], count: int) -> list[int]:
    """Repeats a single number for all axes, as torch does."""
    return list(values) * count if len(values) == 1 else list(values)


def _map_last_axes(axes: AxisReaches, rules: Sequence[Callable[[Reach], Reach | None]]) -> AxisReaches:
    """Applies a rule to each of the last axes that is an image axis."""
    head, tail = axes[: len(axes) - len(rules)], axes[len(axes) - len(rules) :]
    return *head, *(rule(reach) if reach else None for rule, reach in zip(rules, tail))


def _window_rule(arguments: Arguments, axes: AxisReaches, x: Tensor, y: Tensor) -> AxisReaches:
    layer = after_transposed_convolution if arguments.get("transposed") else after_window
    return _map_last_axes(axes, [lambda reach, w=w: layer(reach, **w) for w in window_sizes(arguments)])  # type: ignore[misc]


def _upsampling_rule(layer: Callable[..., Reach]) -> Rule:
    """Returns the rule of upsampling by an integer factor; other factors have no period."""

    def rule(arguments: Arguments, axes: AxisReaches, x: Tensor, y: Tensor) -> AxisReaches:
        return tuple(
            layer(reach, times=after // before) if reach and after % before == 0 else None
            for reach, before, after in zip(axes, x.shape, y.shape)
        )

    return rule


def _pixel_shuffle_rule(arguments: Arguments, axes: AxisReaches, x: Tensor, y: Tensor) -> AxisReaches:
    """Treats pixel-unshuffle as a window without overlap, pixel-shuffle as nearest-neighbour upsampling."""
    if "downscale_factor" in arguments:
        side = arguments["downscale_factor"]
        return _map_last_axes(axes, [lambda reach: after_window(reach, kernel=side, stride=side)] * 2)
    return _map_last_axes(axes, [lambda reach: after_nearest_upsampling(reach, times=arguments["upscale_factor"])] * 2)


def _adaptive_pooling_rule(arguments: Arguments, axes: AxisReaches, x: Tensor, y: Tensor) -> AxisReaches:
    """Treats pooling to a divisor of the size as plain pooling; a single place sees the whole image."""
    return tuple(
        after_window(reach, kernel=before // after, stride=before // after)
        if reach and before % after == 0 and (after > 1 or before == 1)
        else None
        for reach, before, after in zip(axes, x.shape, y.shape)
    )


def _padding_rule(arguments: Arguments, axes: AxisReaches, x: Tensor, y: Tensor) -> AxisReaches:
    """Shifts by the padding, which torch lists from the last axis backwards: left, right, top, bottom."""
    before = list(arguments.get("pad", arguments.get("padding")) or ())[::2][::-1]
    return _map_last_axes(axes, [lambda reach, p=p: after_shift(reach, by=-p) for p in before])  # type: ignore[misc]


def _slice_rule(arguments: Arguments, axes: AxisReaches, x: Tensor, y: Tensor) -> AxisReaches:
    dim, step, start = arguments["dim"] % x.ndim, arguments["step"], arguments["start"] or 0
    reach, first = axes[dim], start if start >= 0 else start + x.shape[dim]
    cut = reach and compose(reach, lambda i: (i * step + first,) * 2, down=step)
    return *axes[:dim], cut, *axes[dim + 1 :]


def _permutation_rule(arguments: Arguments, axes: AxisReaches, x: Tensor, y: Tensor) -> AxisReaches:
    order = list(arguments.get("dims") or range(x.ndim))
    if "dim0" in arguments:
        order[arguments["dim0"]], order[arguments["dim1"]] = order[arguments["dim1"]], order[arguments["dim0"]]
    return tuple(axes[dim] for dim in order)


def _reshape_rule(arguments: Arguments, axes: AxisReaches, x: Tensor, y: Tensor) -> AxisReaches:
    """Matches trailing dimensions of equal size; dimensions of size 1 may appear and disappear."""
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
    "convolution": _window_rule,
    "max_pool2d_with_indices": _window_rule,
    "max_pool3d_with_indices": _window_rule,
    "avg_pool1d": _window_rule,
    "avg_pool2d": _window_rule,
    "avg_pool3d": _window_rule,
    "_adaptive_avg_pool2d": _adaptive_pooling_rule,
    "_adaptive_avg_pool3d": _adaptive_pooling_rule,
    "upsample_nearest1d": _upsampling_rule(after_nearest_upsampling),
    "upsample_nearest2d": _upsampling_rule(after_nearest_upsampling),
    "upsample_nearest3d": _upsampling_rule(after_nearest_upsampling),
    "upsample_linear1d": _upsampling_rule(after_linear_upsampling),
    "upsample_bilinear2d": _upsampling_rule(after_linear_upsampling),
    "upsample_trilinear3d": _upsampling_rule(after_linear_upsampling),
    "pixel_shuffle": _pixel_shuffle_rule,
    "pixel_unshuffle": _pixel_shuffle_rule,
    "max_unpool2d": _upsampling_rule(after_nearest_upsampling),
    "max_unpool3d": _upsampling_rule(after_nearest_upsampling),
    "constant_pad_nd": _padding_rule,
    "reflection_pad1d": _padding_rule,
    "reflection_pad2d": _padding_rule,
    "replication_pad2d": _padding_rule,
    "slice": _slice_rule,
    "permute": _permutation_rule,
    "transpose": _permutation_rule,
}
RESHAPING = {"view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand"}


def propagate(
    name: str, arguments: Arguments, inputs: Sequence[tuple[Tensor, AxisReaches]], output: Tensor
) -> AxisReaches:
    """Returns the axes of an operation's output; without a rule, it is element-wise or sees the whole image."""
    first, axes = inputs[0]
    if name in RESHAPING:
        return _reshape_rule(arguments, axes, first, output)
    if name in LOCAL:
        return LOCAL[name](arguments, axes, first, output)
    if any(tensor.ndim != output.ndim for tensor, _ in inputs):
        return (None,) * output.ndim
    return tuple(_union_of_inputs(dim, inputs, output) for dim in range(output.ndim))


def _union_of_inputs(dim: int, inputs: Sequence[tuple[Tensor, AxisReaches]], output: Tensor) -> Reach | None:
    """Returns what any input of a sum, product or concatenation sees."""
    reaches = [axes[dim] for tensor, axes in inputs if tensor.shape[dim] == output.shape[dim]]
    bounded = [reach for reach in reaches if reach is not None]
    return union(bounded) if bounded and len(bounded) == len(inputs) else None
