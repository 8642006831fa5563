"""Descriptions of a package's maps: of its classes, and of the layers that it shows."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.image import Array
from models.outputs import Role, graph_name
from training.build import Exported
from training.network_geometry import NetworkGeometry, classifier_geometry
from training.user_errors import RecipeError


def map_outputs(
    network: Exported,
    geometry: NetworkGeometry,
    outputs: Mapping[str, Array],
    tolerances: Mapping[str, float],
    *,
    side: int,
) -> list[dict[str, Any]]:
    """Describes the class maps and taps as ModelSpec has them. geometry: of the layers before the head.

    side: px of the network's input.
    """
    taps = [_tap(network, layer, outputs, side=side) for layer in network.taps]
    maps = [
        _class_map(network, role, method, geometry, outputs, side=side)
        for role, method in zip(network.roles[1:], network.cam_methods)
    ]
    return [{**each, "tolerance": tolerances[each["name"]]} for each in (*maps, *taps)]


def _class_map(
    network: Exported, role: Role, method: str, geometry: NetworkGeometry, outputs: Mapping[str, Array], *, side: int
) -> dict[str, Any]:
    name = graph_name(role)
    size = outputs[name].shape[2:]
    origin, stride = _map_places(network.network.body, geometry, network.cam_methods[0], side=side, pooled=size[0])
    return {"name": name, "role": role, "method": method, "size": size, "origin": origin, "stride": stride}


def _map_places(body: Any, geometry: NetworkGeometry, method: str, *, side: int, pooled: int) -> tuple[float, float]:
    """Returns origin and stride of the maps: those of the features, or of the pooled features of a dense head."""
    if method == "cam" or not hasattr(body, "avgpool"):
        return geometry.origin, geometry.stride
    channels = next(body.parameters()).shape[1]
    ratio = body.features(torch.zeros(1, channels, side, side)).shape[2] / pooled
    return geometry.origin + geometry.stride * (ratio - 1) / 2, geometry.stride * ratio


def _tap(network: Exported, layer: str, outputs: Mapping[str, Array], *, side: int) -> dict[str, Any]:
    name = graph_name("features", layer)
    body, maps = network.network.body, outputs[name]
    if maps.ndim != 4:
        raise RecipeError(f"The layer {layer!r} outputs {maps.shape[1:]}; a tap needs feature maps (channels, h, w).")
    channels = next(body.parameters()).shape[1]
    found = classifier_geometry(TruncatedNetwork(body, layer), in_channels=channels, size=side)
    places = {name: getattr(found, name) for name in ("receptive_field", "origin", "stride")}
    return {"name": name, "role": "features", "layer": layer, "size": maps.shape[1:], **places}


class TruncatedNetwork(nn.Module):
    """A network that ends at one of its layers: `features` returns the output of that layer."""

    def __init__(self, body: nn.Module, layer: str) -> None:
        super().__init__()
        self.body, self.layer = body, layer

    def features(self, x: Tensor) -> Tensor:
        def stop(module: nn.Module, inputs: Any, output: Tensor) -> None:
            raise _LayerReached(output)

        handle = self.body.get_submodule(self.layer).register_forward_hook(stop)
        try:
            return self.body(x)
        except _LayerReached as reached:
            return reached.output
        finally:
            handle.remove()


class _LayerReached(Exception):
    def __init__(self, output: Tensor) -> None:
        self.output = output


def first_filters(body: nn.Module) -> Array:
    """Returns the weights of the network's first convolution, (K, C, h, w) float32."""
    first = next(module for module in body.modules() if isinstance(module, nn.Conv2d))
    return first.weight.detach().to(torch.float32).numpy()
