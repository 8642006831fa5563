"""Chosen layers' feature maps, while the network runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from training.mistakes import RecipeError


def known(body: nn.Module, layers: Sequence[str]) -> None:
    """Raises RecipeError for a layer that the network has not."""
    names = [name for name, _ in body.named_modules() if name]
    if missing := [layer for layer in layers if layer not in names]:
        raise RecipeError(f"The network has no layer {missing[0]!r}; it begins with {names[:8]}.")


@contextmanager
def seen(body: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within it, what each of these submodules gives is found under its name once the body has run.

    Raises RecipeError at its end for one that did not.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        # What comes next may work in place.
        return lambda module, inputs, output: found.__setitem__(name, output.clone())

    handles = [body.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
    if unused := set(layers) - set(found):
        raise RecipeError(f"The network has the layers {sorted(unused)}, but does not use them.")
