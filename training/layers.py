"""What a network does to one image, layer by layer: traced on torch's "meta" device, which has shapes alone."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from training.mistakes import RecipeError
from training.operations import LOCAL, Arguments, Axes, bind, carry, window
from training.reach import PIXEL

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
    """One row of the table, for one image.

    shape: the output's, without the batch. multiply_adds: those of convolutions and matrix products, which is what
    papers count. axes: which pixels of the image each of the output's places sees. memory: bytes, in float32, of its
    output and of those that the element-wise operations right after it write beside it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    axes: Axes
    memory: int

    @property
    def receptive_field(self) -> tuple[int, ...]:
        """Px along each axis of the image; () where each number of the output sees all of it."""
        return tuple(reach.field for reach in self.axes if reach)

    @property
    def stride(self) -> tuple[float, ...]:
        return tuple(float(reach.stride) for reach in self.axes if reach)


def trace(network: nn.Module, *, shape: tuple[int, ...]) -> list[Layer]:
    """The layers of a network on the "meta" device that is asked about one image of this shape (channels, ...).

    Raises RecipeError where it takes no such image.
    """
    recorder = _Recorder(network)
    x = torch.empty(1, *shape, device="meta")
    recorder.axes[id(x)] = (x, (None, None, *(PIXEL,) * (len(shape) - 1)))
    with recorder.where(), torch.no_grad(), recorder:
        try:
            network.eval()(x)
        except RuntimeError as error:
            raise RecipeError(f"The network cannot take an input of {shape} (channels, px ...): {error}") from error
    return recorder.layers


class _Recorder(TorchDispatchMode):
    """Sees every operation that torch is asked for, inside modules and between them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.layers: list[Layer] = []
        self.axes: dict[int, tuple[Tensor, Axes]] = {}  # by id(); it holds the tensor, so that no other gets its id
        self.inside: list[str] = []  # names of the modules that are running, the innermost last
        self.owners = {_storage(p): (name.rpartition(".")[0], p.numel()) for name, p in network.named_parameters()}
        self.counted: set[int] = set()
        self.last = -1  # the storage that holds the last layer's output

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler, several seconds, only to keep it out of here

    @contextmanager
    def where(self) -> Iterator[None]:
        """Within it, `inside` is kept."""

        def leave(*_: Any) -> None:
            self.inside.pop()

        with ExitStack() as hooks:
            for name, module in self.network.named_modules():
                enter = module.register_forward_pre_hook(lambda *_, name=name: self.inside.append(name))  # type: ignore[misc]
                for handle in (enter, module.register_forward_hook(leave)):
                    hooks.callback(handle.remove)
            yield

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name, given = func._overloadpacket.__name__, bind(func, args, kwargs or {})
        tensors = _tensors(given)
        inputs = [self.axes[id(tensor)] for tensor in tensors if id(tensor) in self.axes]
        if not inputs:
            return result
        for output in _tensors(result):
            self.axes[id(output)] = (output, carry(name, given, inputs, output))
        output = _tensors(result)[0]
        if _storage(output) not in map(_storage, tensors):  # a view and an operation in place make nothing new
            cost = flop_registry.get(func._overloadpacket)
            count = cost(*args, **(kwargs or {}), out_val=result) // 2 if cost else 0
            self.record(name, given, output, count)
        return result

    def record(self, op: str, given: Arguments, output: Tensor, multiply_adds: int) -> None:
        """A row; what works on the last row's output number by number, without parameters, belongs to that row."""
        tensors = _tensors(given)
        owned = [_storage(tensor) for tensor in tensors if _storage(tensor) in self.owners]
        memory = output.numel() * FLOAT_BYTES
        (first, *more) = [tensor for tensor in tensors if id(tensor) in self.axes]
        if not owned and not more and op not in LOCAL and _storage(first) == self.last and first.shape == output.shape:
            self.layers[-1].memory += memory
        else:
            new = set(owned) - self.counted
            self.counted |= new
            parameters = sum(self.owners[key][1] for key in new)
            name = self.owners[owned[0]][0] if owned else self.place(op)
            axes = self.axes[id(output)][1]
            shape = tuple(output.shape[1:])
            self.layers.append(Layer(name, _kind(op, given), shape, parameters, multiply_adds, axes, memory))
        self.last = _storage(output)

    def place(self, op: str) -> str:
        """Where an operation without parameters stands: the module that it is, or the one that asks for it."""
        inner = self.inside[-1]
        if inner and not any(True for _ in self.network.get_submodule(inner).children()):
            return inner
        return f"{inner}.{op}".lstrip(".")


def _kind(op: str, given: Arguments) -> str:
    name = KINDS.get(op, op.strip("_").replace("_", " "))
    if op not in LOCAL or not {"weight", "kernel_size"} & given.keys():
        return name
    windows = window(given)
    sizes = "x".join(str(w["kernel"]) for w in windows)
    extras = [f"/{w['stride']}" for w in windows[:1] if w["stride"] != 1]
    extras += [f" dilated {w['dilation']}" for w in windows[:1] if w["dilation"] != 1]
    return f"{'up-' if given.get('transposed') else ''}{name} {sizes}{''.join(extras)}"


def _tensors(tree: Any) -> Sequence[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
