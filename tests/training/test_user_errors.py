"""What a user gets wrong is told in a sentence, with status 1 and without a traceback."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

DIGITS = Path("training/recipes/digits.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("epochs = 25", "epoch = 25", "training.epoch  Extra inputs"),
        ("epochs = 25", "epochs = ", "Invalid value"),
        ('name = "lenet5"', 'name = "lenet6"', "no architecture 'lenet6'; there are .*lenet5"),
        ('name = "lenet5"', 'name = "resnet18"\noptions = { widht = 8 }', "network.options: .*'widht'"),
        ('name = "lenet5"', 'name = "cnn1d"', "cnn1d is a network of 1 axes; input.kind is 'image'"),
        ('loader = "sklearn_digits"', 'loader = "class_folders"\npath = "nowhere"', "nowhere: no such folder"),
        ("workers = 0", 'workers = 0\nfreeze = ["layer9"]', "no part 'layer9' to freeze; it has .*fc1"),
        ("workers = 0", "workers = 0\nclass_weights = [1, 2]", "class_weights: 2 weights for 10 classes"),
        ("channels = 1", "channels = 1\nmean = [1, 2, 3]", "give one value for all channels, or one for each"),
        ("folds = 10", "folds = 10\nturn = 10", "split  .*turn 10: the 10 folds are counted from 0"),
        ("label_from_borders =", "masks =", "audit.allow  .*masks cannot be allowed.*shared_groups, "),
        ("[audit.allow]", "[unknown]", "unknown  Extra inputs"),
    ],
    ids=["field", "toml", "network", "option", "axes", "folder", "part", "weights", "mean", "fold", "allow", "table"],
)
def test_a_recipe(old: str, new: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(DIGITS.replace(old, new))
    expect_exit("train", [str(recipe), "--run", str(tmp_path / "run"), "--device", "cpu"], says, monkeypatch)


def no_run(folder: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3)}, folder / "best.pt")


def unfinished(folder: Path) -> None:
    torch.save({"recipe": {}, "weights": {}}, folder / "best.pt")


def cut_short(folder: Path) -> None:
    (folder / "best.pt").write_bytes(b"PK\x03\x04")


@pytest.mark.parametrize(
    ("program", "arguments", "says"),
    [
        ("train", ["nowhere.toml"], "No such file.*nowhere.toml"),
        ("train", ["digits.toml", "--resume"], "No such file.*last.pt"),
        ("train", ["digits.toml", "--weights", "nowhere.pth"], "No such file.*nowhere.pth"),
        ("train", ["digits.toml", "--weights", "best.pt"], "nothing fits. It holds fc.weight"),
        ("evaluate", ["nowhere.pt"], "No such file.*nowhere.pt"),
        ("export", ["nowhere.pt"], "No such file.*nowhere.pt"),
        ("audit", ["nowhere.toml"], "No such file.*nowhere.toml"),
        ("summary", ["nowhere.toml"], "'nowhere.toml' is neither a recipe file nor one of"),
        ("summary", ["vgg16", "--input", "16"], r"cannot take an input of \(3, 16, 16\)"),
        ("summary", ["resnet18", "--input", "224x224x3x1"], "the network's images have 2 axes"),
    ],
)
def test_a_command(
    program: str, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits.toml").write_text(DIGITS)
    no_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    expect_exit(program, arguments, says, monkeypatch)


@pytest.mark.parametrize("program", ["evaluate", "export"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_run, "is not the best.pt"),
        (unfinished, "a run that has not finished"),
        (cut_short, "is damaged or not a checkpoint"),
    ],
)
def test_a_checkpoint(program: str, make: object, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)  # type: ignore[operator]
    expect_exit(program, [str(tmp_path / "best.pt")], says, monkeypatch)


def expect_exit(program: str, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"training.{program}", *arguments])
    monkeypatch.delitem(sys.modules, f"training.{program}", raising=False)  # it is run anew, under another name
    with pytest.raises(SystemExit, match=says):
        runpy.run_module(f"training.{program}", run_name="__main__")
