"""Pretrained weights to start from: torchvision's, CheXNet's, torchxrayvision's, or those of another run.

Read the file, rename its tensors as in the network, load those that fit, and report on each.
"""

import hashlib
import json
import pickle
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from training import checkpoint
from training.user_errors import UserError

# Names in older files, tried if the network has no tensor of that name.
OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\."), r"\1\2."),  # torchvision's DenseNets until 2018
    (re.compile(r"^(classifier|fc)\.0\."), r"\1."),  # CheXNet's head: a Sequential of the linear layer and its sigmoid
)
COUNTER = "num_batches_tracked"  # of batch normalisation: unused, and missing in old files


class WeightsError(UserError):
    """The file has no weights for this network; the message says why."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Result of loading a file, by the network's tensor names; `unused` by the file's.

    adapted: loaded tensors that were converted to another number of input channels. initialised: not loaded, and why.
    """

    file: str
    sha256: str
    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    initialised: dict[str, str]
    unused: tuple[str, ...]

    @property
    def summary(self) -> str:
        loaded = len(self.loaded)
        return f"{self.file} (sha256 {self.sha256}): {loaded} of {loaded + len(self.initialised)} tensors"

    def __str__(self) -> str:
        lines = [f"loaded from {self.summary}"]
        lines += [f"  converted to another number of input channels: {name}" for name in self.adapted]
        lines += [f"  initialised: {name}, {why}" for name, why in self.initialised.items()]
        lines += [f"  unused in the file: {name}" for name in self.unused]
        return "\n".join(lines)


def load_pretrained(path: Path, network: nn.Module, *, run: Path) -> str:
    """Loads weights, prints a report and writes it to run/weights.json; returns its summary for the package."""
    transfer = load(network, path)
    print(transfer)
    (run / "weights.json").write_text(json.dumps(asdict(transfer), indent=1))
    return transfer.summary


def load(network: nn.Module, path: Path) -> Transfer:
    """Copies tensors of equal name and shape into the network. Raises WeightsError if no weight matches."""
    expected = without_counters(network.state_dict())
    stored = rename_tensors(without_counters(largest_state_dict(read(path))), expected)
    adapted = adapt_first_convolution(stored, expected)
    initialised = {name: why for name, tensor in expected.items() if (why := mismatch(stored.get(name), tensor))}
    matching = {name: stored[name] for name in expected if name not in initialised}
    if not any(tensor.ndim > 1 for tensor in matching.values()):  # biases alone may match by chance
        raise WeightsError(
            f"{path}: nothing fits. It holds {abbreviate(stored)}; the network needs {abbreviate(expected)}."
        )
    network.load_state_dict(matching, strict=False)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    unused = tuple(name for name in stored if name not in expected)
    return Transfer(path.name, digest, tuple(matching), tuple(set(adapted) - set(initialised)), initialised, unused)


def read(path: Path) -> Any:
    """Reads a PyTorch or safetensors file of tensors and plain values. It cannot run code."""
    try:
        return safetensors.torch.load_file(path) if path.suffix == ".safetensors" else checkpoint.load(path)
    except pickle.UnpicklingError as error:
        if not (blocked := re.search(r"GLOBAL (\S+)", str(error))):
            raise WeightsError(f"{path} is damaged or not a checkpoint.") from error
        raise WeightsError(
            f"{path} contains {blocked[1]}; reading that could run arbitrary code. If you trust the file, save only "
            "its tensors where it was made: torch.save(model.state_dict(), path)."
        ) from error
    except (safetensors.SafetensorError, EOFError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged or not a checkpoint: {error}") from error


def largest_state_dict(value: Any) -> dict[str, Tensor]:
    """Returns the largest dict of tensors in the file, under "state_dict", "weights" or any other name."""
    return max(state_dicts(value), key=len, default={})


def state_dicts(value: Any) -> Iterator[dict[str, Tensor]]:
    if isinstance(value, dict):
        yield {name: tensor for name, tensor in value.items() if isinstance(name, str) and isinstance(tensor, Tensor)}
        for inner in value.values():
            yield from state_dicts(inner)


def without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith(COUNTER)}


def rename_tensors(state: dict[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Strips the prefix under which the file has most of the expected names, and updates old names."""
    prefix = common_prefix(state, expected)
    return {current_name(name.removeprefix(prefix), expected): tensor for name, tensor in state.items()}


def common_prefix(names: Collection[str], expected: Collection[str]) -> str:
    """Returns the prefix that a wrapper added, such as "module." (DataParallel) or "module.densenet121."."""
    parts = [name.split(".") for name in names]
    prefixes = Counter(
        "".join(f"{part}." for part in name[:i])
        for name in parts
        for i in range(len(name))
        if ".".join(name[i:]) in expected
    )
    return prefixes.most_common(1)[0][0] if prefixes else ""


def current_name(name: str, expected: Collection[str]) -> str:
    """Returns the network's name of a tensor with an old name; other names unchanged."""
    candidates = (pattern.sub(new, name) for pattern, new in OLD_NAMES)
    return next((new for new in (name, *candidates) if new in expected), name)


def adapt_first_convolution(stored: dict[str, Tensor], expected: dict[str, Tensor]) -> tuple[str, ...]:
    """Converts the first convolution's weight (K, C, ...) to the network's number of channels; returns its name.

    The output for an image with equal channels stays the same. From three channels to one the weights are summed: a
    grey image gives the same output as its RGB version did.
    """
    first = next((name for name, tensor in expected.items() if tensor.ndim > 2), "")
    if (
        first not in stored
        or stored[first].ndim != expected[first].ndim
        or stored[first].shape[1] == expected[first].shape[1]
    ):
        return ()
    channels = expected[first].shape[1]
    each = stored[first].sum(dim=1, keepdim=True) / channels
    stored[first] = each.repeat_interleave(channels, dim=1)
    return (first,)


def mismatch(stored: Tensor | None, expected: Tensor) -> str:
    """Returns why the file's tensor does not fit the network's; "" if it does."""
    if stored is None:
        return "not in the file"
    return "" if stored.shape == expected.shape else f"shape {(*expected.shape,)}, but {(*stored.shape,)} in the file"


def abbreviate(names: Collection[str]) -> str:
    return ", ".join([*names][:3]) + ", ..." if names else "no tensors"
