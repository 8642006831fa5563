"""Taps: feature maps of chosen layers, recorded while the network runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from training.user_errors import RecipeError


def check_layers(body: nn.Module, layers: Sequence[str]) -> None:
    """Raises RecipeError for a layer that the network does not have."""
    names = [name for name, _ in body.named_modules() if name]
    if missing := [layer for layer in layers if layer not in names]:
        raise RecipeError(f"The network has no layer {missing[0]!r}; its first layers are {names[:8]}.")


@contextmanager
def record_outputs(body: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Records the outputs of these submodules, by name, when the body runs inside the context.

    Raises RecipeError on exit if a layer did not run.
    """
    outputs: dict[str, Tensor] = {}

    def recorder(name: str) -> Any:
        # A copy, because the next layer may work in place.
        return lambda module, inputs, output: outputs.__setitem__(name, output.clone())

    handles = [body.get_submodule(name).register_forward_hook(recorder(name)) for name in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
    if unused := set(layers) - set(outputs):
        raise RecipeError(f"The network has the layers {sorted(unused)}, but does not use them.")
