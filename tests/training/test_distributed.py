"""One training in several processes, or in pieces of a batch, gives the weights of one process and whole batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training import checkpoint
from training.build import build
from training.config import Recipe, read_recipe
from training.distributed import ProcessGroup, join
from training.loop import Loop
from training.prepared_dataset import PreparedDataset
from training.tasks import TASKS

CPU = torch.device("cpu")
DIGITS = Path("training/recipes/digits.toml")
CLOSE = {"rtol": 0, "atol": 1e-5}  # sums in another order


def digits(**training: object) -> Recipe:
    """The recipe in float32, whose network (LeNet-5) has neither batch normalisation nor dropout."""
    recipe = read_recipe(DIGITS)
    changed = {"precision": "float32", "workers": 0, "epochs": 1, **training}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changed)})


@pytest.mark.parametrize(
    ("count", "batch_size", "accumulate", "size"),
    [(64, 16, 1, 2), (70, 16, 2, 2), (33, 8, 1, 4), (33, 4, 2, 3), (10, 16, 1, 1)],  # whole, rest, rest of 1, odd, less
)
def test_every_draw_is_in_one_share(count: int, batch_size: int, accumulate: int, size: int) -> None:
    """Of each batch every draw once, with weights that make the pieces' means the batch's mean."""
    teams = [ProcessGroup(CPU, rank, size) for rank in range(size)]
    batch_shares = [team.batch_shares(range(count), batch_size=batch_size, accumulate=accumulate) for team in teams]
    assert {len(each) for each in batch_shares} == {-(-count // (batch_size * accumulate)) * accumulate}
    for start in range(0, len(batch_shares[0]), accumulate):
        pieces = [piece for each in batch_shares for piece in each[start : start + accumulate]]
        assert [piece.completes for piece in pieces] == [n % accumulate == accumulate - 1 for n in range(len(pieces))]
        first = start // accumulate * batch_size * accumulate
        batch = list(range(count))[first : first + batch_size * accumulate]
        assert [draw for piece in pieces if piece.weight for draw in piece.draws] == batch
        for piece in pieces:
            assert piece.weight in (0, pytest.approx(len(piece.draws) / len(batch)))
            assert piece.draws


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team, network = join("cpu"), torch.nn.Linear(1, 1)
    assert (team, team.wrap(network), team.with_synchronised_norm(network)) == (ProcessGroup(CPU), network, network)
    assert (team.total(3.0), team.broadcast("word"), team.is_main) == (3.0, "word", True)


def trained(recipe: Recipe, *, count: int) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and weights after an epoch of the first `count` digits."""
    data = recipe.data.load()
    train = PreparedDataset(data.examples[:count], config=recipe.input, task=TASKS[recipe.task], classes=10)
    torch.manual_seed(0)
    loop = Loop(build(recipe, classes=10), recipe, team=ProcessGroup(CPU), truths=train.truths)
    return loop.epoch(train, number=0), loop.network.state_dict()


def test_accumulation_is_a_larger_batch() -> None:
    """40 digits and a rest of 8 in batches of 16: as they are, and in four pieces each."""
    loss, whole = trained(digits(batch_size=16), count=40)
    same, pieces = trained(digits(batch_size=4, accumulate=4), count=40)
    assert same == pytest.approx(loss, abs=1e-6)
    for name in whole:
        torch.testing.assert_close(pieces[name], whole[name], **CLOSE)
    assert trained(digits(batch_size=4), count=40)[0] != pytest.approx(loss, abs=1e-3)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_two_processes_make_the_weights_of_one(tmp_path: Path) -> None:
    """torchrun on this machine, an epoch of batches of 32 and one of what remains, an odd number."""
    recipe = tmp_path / "digits.toml"
    recipe.write_text(DIGITS.read_text().replace("epochs = 25", 'epochs = 1\nprecision = "float32"'))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--", "training.train"]
    for name, how in (("one", ["-m", "training.train"]), ("two", launch)):
        command = [sys.executable, *how, str(recipe), "--run", str(tmp_path / name)]
        subprocess.run([*command, "--device", "cpu"], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    one, two = (checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("one", "two"))
    assert one["progress"]["epoch"] == two["progress"]["epoch"]
    for part in ("network", "average"):
        for name, tensor in one["loop"][part].items():
            torch.testing.assert_close(two["loop"][part][name], tensor, msg=name, **CLOSE)
