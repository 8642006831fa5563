"""Layer-by-layer trace of a network on torch's "meta" device, which computes shapes only."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from training.receptive_field import PIXEL
from training.receptive_field_rules import LOCAL, Arguments, AxisReaches, bind_arguments, propagate, window_sizes
from training.user_errors import RecipeError

KINDS = {
    "convolution": "conv",
    "max_pool2d_with_indices": "max pool",
    "max_pool3d_with_indices": "max pool",
    "_native_batch_norm_legit_no_training": "batch norm",
    "native_batch_norm": "batch norm",
    "native_group_norm": "group norm",
    "addmm": "linear",
    "mm": "linear",
}
FLOAT_BYTES = 4


@dataclass(slots=True)
class Layer:
    """One layer's costs for one image: a row of the table.

    shape: of the output, without the batch. multiply_adds: of convolutions and matrix products, as papers count. axes:
    the input pixels that each output sees. memory: bytes in float32 of its output and of the element-wise operations
    right after it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    axes: AxisReaches
    memory: int

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Px along each axis of the image; () if each output sees the whole image."""
        return tuple(reach.field for reach in self.axes if reach)

    @property
    def stride(self) -> tuple[float, ...]:
        return tuple(float(reach.stride) for reach in self.axes if reach)


def trace(network: nn.Module, *, shape: tuple[int, ...]) -> list[Layer]:
    """Returns the layers of a network on the "meta" device for one image of this shape (channels, ...).

    Raises RecipeError if the network does not take such an image.
    """
    recorder = _Recorder(network)
    x = torch.empty(1, *shape, device="meta")
    recorder.axes[id(x)] = (x, (None, None, *(PIXEL,) * (len(shape) - 1)))
    with recorder.module_stack(), torch.no_grad(), recorder:
        try:
            network.eval()(x)
        except RuntimeError as error:
            raise RecipeError(f"The network cannot take an input of {shape} (channels, px ...): {error}") from error
    return recorder.layers


class _Recorder(TorchDispatchMode):
    """Records every torch operation, inside modules and between them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.network = network
        self.layers: list[Layer] = []
        self.axes: dict[int, tuple[Tensor, AxisReaches]] = {}  # by id(); holding the tensor keeps its id unique
        self.inside: list[str] = []  # names of running modules, innermost last
        self.owners = {_storage(p): (name.rpartition(".")[0], p.numel()) for name, p in network.named_parameters()}
        self.counted: set[int] = set()
        self.last = -1  # storage of the last layer's output

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # avoids importing torch's compiler, which takes seconds

    @contextmanager
    def module_stack(self) -> Iterator[None]:
        """Maintains `inside` with hooks on every module."""

        def leave(*_: Any) -> None:
            self.inside.pop()

        with ExitStack() as hooks:
            for name, module in self.network.named_modules():
                enter = module.register_forward_pre_hook(lambda *_, name=name: self.inside.append(name))
                for handle in (enter, module.register_forward_hook(leave)):
                    hooks.callback(handle.remove)
            yield

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name, arguments = func._overloadpacket.__name__, bind_arguments(func, args, kwargs or {})
        tensors = _tensors(arguments)
        inputs = [self.axes[id(tensor)] for tensor in tensors if id(tensor) in self.axes]
        if not inputs:
            return result
        for output in _tensors(result):
            self.axes[id(output)] = (output, propagate(name, arguments, inputs, output))
        output = _tensors(result)[0]
        if _storage(output) not in map(_storage, tensors):  # views and in-place operations create no output
            cost = flop_registry.get(func._overloadpacket)
            count = cost(*args, **(kwargs or {}), out_val=result) // 2 if cost else 0
            self.record(name, arguments, output, count)
        return result

    def record(self, op: str, arguments: Arguments, output: Tensor, multiply_adds: int) -> None:
        """Adds a row; an element-wise operation without parameters is part of the row before it."""
        tensors = _tensors(arguments)
        parameter_storages = [_storage(tensor) for tensor in tensors if _storage(tensor) in self.owners]
        memory = output.numel() * FLOAT_BYTES
        (first, *more) = [tensor for tensor in tensors if id(tensor) in self.axes]
        if (
            not parameter_storages
            and not more
            and op not in LOCAL
            and _storage(first) == self.last
            and first.shape == output.shape
        ):
            self.layers[-1].memory += memory
        else:
            uncounted = set(parameter_storages) - self.counted
            self.counted |= uncounted
            parameters = sum(self.owners[key][1] for key in uncounted)
            name = self.owners[parameter_storages[0]][0] if parameter_storages else self.operation_name(op)
            axes = self.axes[id(output)][1]
            shape = tuple(output.shape[1:])
            self.layers.append(Layer(name, _kind(op, arguments), shape, parameters, multiply_adds, axes, memory))
        self.last = _storage(output)

    def operation_name(self, op: str) -> str:
        """Returns the name of an operation without parameters: its module, or its module's name and its own."""
        inner = self.inside[-1]
        if inner and not any(True for _ in self.network.get_submodule(inner).children()):
            return inner
        return f"{inner}.{op}".lstrip(".")


def _kind(op: str, arguments: Arguments) -> str:
    name = KINDS.get(op, op.strip("_").replace("_", " "))
    if op not in LOCAL or not {"weight", "kernel_size"} & arguments.keys():
        return name
    windows = window_sizes(arguments)
    sizes = "x".join(str(w["kernel"]) for w in windows)
    extras = [f"/{w['stride']}" for w in windows[:1] if w["stride"] != 1]
    extras += [f" dilated {w['dilation']}" for w in windows[:1] if w["dilation"] != 1]
    return f"{'up-' if arguments.get('transposed') else ''}{name} {sizes}{''.join(extras)}"


def _tensors(tree: Any) -> Sequence[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
