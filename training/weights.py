"""Weights from elsewhere to start from: torchvision's, CheXNet's, torchxrayvision's, or those of another run of ours.

file -> its tensors under the network's own names -> those that fit are loaded -> a report of what came of each.
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
from training.mistakes import Mistake

# How older files spell a name, where the network has no tensor of that name.
SPELLINGS = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\."), r"\1\2."),  # torchvision's DenseNets until 2018
    (re.compile(r"^(classifier|fc)\.0\."), r"\1."),  # CheXNet's head: a Sequential of the linear layer and its sigmoid
)
COUNTER = "num_batches_tracked"  # of batch normalisation: nothing reads it, and old files have none


class WeightsError(Mistake):
    """The file has no weights for this network; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of a file's weights, by the network's names; in `left_over` by the file's.

    adapted: of the loaded, those made for another number of input channels. anew: not loaded, and why.
    """

    file: str
    sha256: str
    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    anew: dict[str, str]
    left_over: tuple[str, ...]

    @property
    def summary(self) -> str:
        loaded, made = len(self.loaded), len(self.anew)
        return f"{self.file} (sha256 {self.sha256}): {loaded} of {loaded + made} tensors"

    def __str__(self) -> str:
        lines = [f"loaded from {self.summary}"]
        lines += [f"  for another number of input channels: {name}" for name in self.adapted]
        lines += [f"  made anew: {name}, {why}" for name, why in self.anew.items()]
        lines += [f"  left over in the file: {name}" for name in self.left_over]
        return "\n".join(lines)


def start_from(path: Path, network: nn.Module, *, run: Path) -> str:
    """Loads, prints the report and writes it to run/weights.json; returns the sentence that the package will say."""
    transfer = load(network, path)
    print(transfer)
    (run / "weights.json").write_text(json.dumps(asdict(transfer), indent=1))
    return transfer.summary


def load(network: nn.Module, path: Path) -> Transfer:
    """Copies into the network what has its name and shape in the file; raises WeightsError where no weight has."""
    wanted = without_counters(network.state_dict())
    found = renamed(without_counters(largest_table(read(path))), wanted)
    adapted = adapt_first(found, wanted)
    anew = {name: why for name, tensor in wanted.items() if (why := misfit(found.get(name), tensor))}
    fitting = {name: found[name] for name in wanted if name not in anew}
    if not any(tensor.ndim > 1 for tensor in fitting.values()):  # biases of the same length say nothing
        raise WeightsError(f"{path}: nothing fits. It holds {some(found)}; the network wants {some(wanted)}.")
    network.load_state_dict(fitting, strict=False)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    left_over = tuple(name for name in found if name not in wanted)
    return Transfer(path.name, digest, tuple(fitting), tuple(set(adapted) - set(anew)), anew, left_over)


def read(path: Path) -> Any:
    """A PyTorch or safetensors file -> what it holds: tensors and plain values. Nothing in it can run."""
    try:
        return safetensors.torch.load_file(path) if path.suffix == ".safetensors" else checkpoint.load(path)
    except pickle.UnpicklingError as error:
        if not (found := re.search(r"GLOBAL (\S+)", str(error))):
            raise WeightsError(f"{path} is damaged, or no checkpoint.") from error
        raise WeightsError(
            f"{path} holds {found[1]}, and reading that could run any code. Where you trust the file, save the tensors "
            "alone, where it was made: torch.save(model.state_dict(), path)."
        ) from error
    except (safetensors.SafetensorError, EOFError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged, or no checkpoint: {error}") from error


def largest_table(value: Any) -> dict[str, Tensor]:
    """The most tensors by name that stand together: under "state_dict", "weights" or whatever a file calls them."""
    return max(tables(value), key=len, default={})


def tables(value: Any) -> Iterator[dict[str, Tensor]]:
    if isinstance(value, dict):
        yield {name: tensor for name, tensor in value.items() if isinstance(name, str) and isinstance(tensor, Tensor)}
        for inner in value.values():
            yield from tables(inner)


def without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith(COUNTER)}


def renamed(state: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """Without the prefix under which the file has most of the wanted names, and in their spelling."""
    prefix = prefix_of(state, wanted)
    return {spelled(name.removeprefix(prefix), wanted): tensor for name, tensor in state.items()}


def prefix_of(names: Collection[str], wanted: Collection[str]) -> str:
    """What wrappers put before a network's names: "module." (DataParallel), "model.", "module.densenet121."."""
    parts = [name.split(".") for name in names]
    prefixes = Counter(
        "".join(f"{part}." for part in name[:i])
        for name in parts
        for i in range(len(name))
        if ".".join(name[i:]) in wanted
    )
    return prefixes.most_common(1)[0][0] if prefixes else ""


def spelled(name: str, wanted: Collection[str]) -> str:
    """The name as the network has it, where one of SPELLINGS gives it; else as it is."""
    tried = (pattern.sub(new, name) for pattern, new in SPELLINGS)
    return next((new for new in (name, *tried) if new in wanted), name)


def adapt_first(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> tuple[str, ...]:
    """Puts the first convolution's weight (K, C, ...) for the wanted channels in place of the file's; returns its name.

    Its answer stays the same to the same image in every channel. So from three channels to one the weights are summed:
    a grey image gets the answer that it had as grey RGB.
    """
    first = next((name for name, tensor in wanted.items() if tensor.ndim > 2), "")
    if first not in found or found[first].ndim != wanted[first].ndim or found[first].shape[1] == wanted[first].shape[1]:
        return ()
    channels = wanted[first].shape[1]
    each = found[first].sum(dim=1, keepdim=True) / channels
    found[first] = each.repeat_interleave(channels, dim=1)
    return (first,)


def misfit(found: Tensor | None, wanted: Tensor) -> str:
    """Why the file's tensor cannot take the place of the network's; "" where it can."""
    if found is None:
        return "which the file has not"
    return "" if found.shape == wanted.shape else f"{(*wanted.shape,)}, which is {(*found.shape,)} in the file"


def some(names: Collection[str]) -> str:
    return ", ".join([*names][:3]) + ", ..." if names else "no tensors"
