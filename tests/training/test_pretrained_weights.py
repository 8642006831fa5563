"""Checkpoints as others write them: what of them is loaded, what is made anew, and what is refused."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from models.architectures.densenet import DenseNet121
from models.architectures.resnet import ResNet18
from training import checkpoint, export, train
from training.config import read_recipe
from training.pretrained_weights import WeightsError, load

State = dict[str, Tensor]


def densenet(*, in_channels: int = 3, num_classes: int = 14) -> nn.Module:
    return DenseNet121(in_channels, num_classes, growth=4, blocks=(2, 3))


def resnet(*, in_channels: int = 3, num_classes: int = 14) -> nn.Module:
    return ResNet18(in_channels, num_classes, width=8)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def answer(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return network.eval()(x)


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def of_2017(state: State) -> State:
    """As torchvision's DenseNets were saved first: norm.1 for norm1, and no count of batches."""
    trainable_state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    return {re.sub(r"(denselayer\d+\.[a-z]+)(\d)", r"\1.\2", name): tensor for name, tensor in trainable_state.items()}


def chexnet(state: State) -> dict[str, Any]:
    """As CheXNet's reproductions are saved: inside DataParallel and a wrapper, the head followed by a sigmoid."""
    names = under("module.densenet121.", of_2017(state))
    names = {name.replace("classifier.", "classifier.0."): tensor for name, tensor in names.items()}
    return {"epoch": 5, "best_loss": 0.2, "state_dict": names, "optimizer": {"state": {0: {"step": torch.ones(())}}}}


@pytest.mark.parametrize(
    ("make", "written", "unused"),
    [
        (densenet, lambda state: state, ()),
        (resnet, lambda state: state, ()),
        (resnet, lambda state: {"state_dict": under("module.", state), "arch": "resnet18"}, ()),
        (resnet, lambda state: {"model": under("model.", state)}, ()),
        (resnet, lambda state: {name: tensor.double() for name, tensor in state.items()}, ()),
        (densenet, of_2017, ()),
        (densenet, chexnet, ()),
        (densenet, lambda state: state | {"op_threshs": torch.ones(14)}, ("op_threshs",)),  # torchxrayvision
        (resnet, lambda state: {"weights": state, "samples": [torch.ones(3)], "classes": ["a"]}, ()),  # best.pt
        (resnet, lambda state: {"loop": {"average": under("module.body.", state), "scaler": {}}}, ()),  # last.pt
    ],
)
def test_a_checkpoint_gives_its_answers(
    make: Callable[[], nn.Module], written: Callable[[State], Any], unused: tuple[str, ...], tmp_path: Path
) -> None:
    theirs, ours, x = make(), make(), torch.randn(2, 3, 64, 64)
    assert not torch.equal(answer(ours, x), answer(theirs, x))
    transfer = load(ours, saved(written(theirs.state_dict()), tmp_path / "some.pth"))
    assert torch.equal(answer(ours, x), answer(theirs, x))
    assert (transfer.adapted, transfer.initialised, transfer.unused) == ((), {}, unused)


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    theirs, ours, x = resnet(), resnet(), torch.randn(2, 3, 64, 64)
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "some.safetensors")
    load(ours, tmp_path / "some.safetensors")
    assert torch.equal(answer(ours, x), answer(theirs, x))


@pytest.mark.parametrize(("make", "head"), [(densenet, "classifier"), (resnet, "fc")])
def test_a_head_for_other_classes_is_made_anew(make: Callable[..., nn.Module], head: str, tmp_path: Path) -> None:
    theirs, ours, x = make(num_classes=1000), make(num_classes=2), torch.randn(2, 3, 64, 64)
    before = ours.get_submodule(head).weight.clone()
    transfer = load(ours, saved(theirs.state_dict(), tmp_path / "imagenet.pth"))
    with torch.no_grad():
        assert torch.equal(ours.eval().features(x), theirs.eval().features(x))
    assert torch.equal(ours.get_submodule(head).weight, before)
    assert [*transfer.initialised] == [f"{head}.weight", f"{head}.bias"]
    assert "shape (2,), but (1000,) in the file" in transfer.initialised[f"{head}.bias"]
    assert f"{len(transfer.loaded)} of {len(transfer.loaded) + 2} tensors" in str(transfer)


@pytest.mark.parametrize(("theirs", "ours"), [(3, 1), (1, 3)])
@pytest.mark.parametrize("make", [densenet, resnet])
def test_a_grey_image_is_seen_alike_in_one_channel_and_in_three(
    make: Callable[..., nn.Module], theirs: int, ours: int, tmp_path: Path
) -> None:
    given, network, grey = make(in_channels=theirs), make(in_channels=ours), torch.randn(2, 1, 64, 64)
    transfer = load(network, saved(given.state_dict(), tmp_path / "some.pth"))
    known = answer(given, grey.expand(-1, theirs, -1, -1))
    torch.testing.assert_close(answer(network, grey.expand(-1, ours, -1, -1)), known, rtol=1e-4, atol=1e-5)
    assert transfer.adapted == (next(iter(given.state_dict())),)
    assert transfer.initialised == {}


def test_another_stem_is_made_anew_and_the_rest_loaded(tmp_path: Path) -> None:
    ours = ResNet18(3, 14, width=8, stem="small")
    transfer = load(ours, saved(resnet().state_dict(), tmp_path / "some.pth"))
    assert transfer.initialised == {"conv1.weight": "shape (8, 3, 3, 3), but (8, 3, 7, 7) in the file"}


class Code:
    """What runs when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    path = saved({"state_dict": Code(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"bad\.pth contains posix\.mkdir; reading that could run arbitrary code"):
        load(resnet(), path)
    assert not (tmp_path / "ran").exists()


def test_a_pickled_network_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = saved(resnet(), tmp_path / "whole.pth")
    with pytest.raises(WeightsError, match=r"contains models.*If you trust the file.*model\.state_dict\(\)"):
        load(resnet(), path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{re.escape(name)} is damaged or not a checkpoint"):
        load(resnet(), tmp_path / name)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"epoch": 3}, "It holds no tensors; the network needs conv1.weight, bn1.weight, "),
        (under("encoder.", densenet().state_dict()), "It holds encoder.features.conv0.weight, "),
        (ResNet18(3, 14, width=4).state_dict(), "It holds conv1.weight"),  # narrower: nothing has the shape
        ({"bn1.num_batches_tracked": torch.zeros(())}, "It holds no tensors"),  # a counter is no weight
    ],
    ids=["no tensors", "another family", "another width", "a counter"],
)
def test_where_nothing_fits_it_says_what_there_is(content: Any, sentence: str, tmp_path: Path) -> None:
    network = resnet()
    before = answer(network, torch.ones(1, 3, 64, 64))
    with pytest.raises(WeightsError, match=re.escape(f"some.pth: nothing fits. {sentence}")):
        load(network, saved(content, tmp_path / "some.pth"))
    assert torch.equal(answer(network, torch.ones(1, 3, 64, 64)), before)


@pytest.mark.slow
def test_the_run_and_the_package_say_what_they_started_from(tmp_path: Path) -> None:
    recipe = read_recipe(Path("training/recipes/digits.toml"))
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 1})})
    start = train.build(recipe, classes=1000).body  # with another head
    train.main(recipe, run=tmp_path, weights=saved(start.state_dict(), tmp_path / "imagenet.pth"), device="cpu")
    report = json.loads((tmp_path / "weights.json").read_text())
    assert report["loaded"] == [name for name in start.state_dict() if not name.startswith("fc3")]
    assert [*report["initialised"]] == ["fc3.weight", "fc3.bias"]
    provenance = export.main(tmp_path / checkpoint.BEST, root=tmp_path / "repository").spec.provenance
    assert provenance.weights == f"imagenet.pth (sha256 {report['sha256']}): 8 of 10 tensors"
