"""Examples of four hospital sites, and the scores of a network that fails at one of them."""

import numpy as np

from training.data.examples import Example, constant
from training.tasks import TASKS
from training.tasks.training_task import Decision

SITES = ["a"] * 100 + ["b"] * 60 + ["c"] * 10 + [""] * 40


def example(number: int, site: str) -> Example:
    columns = {"site": site, "number": str(number)} if site else {}
    nothing = constant(0)
    return Example(str(number), f"patient {number // 2}", "", None, nothing, nothing, columns)


EXAMPLES = [example(number, site) for number, site in enumerate(SITES)]


def scores() -> dict:
    """Always right but at b, where every other patient is mistaken; at c too, where all are of one class."""
    truth = np.arange(len(SITES)) % 2
    said = np.where(np.array(SITES) == "b", (truth + np.arange(len(SITES)) // 2) % 2, truth)
    truth = np.where(np.array(SITES) == "c", 1, truth)
    said = np.where(np.array(SITES) == "c", 0, said)
    p = np.eye(2, dtype=np.float32)[said] * 0.8 + 0.1
    every = TASKS["multiclass"].scores(list(p), list(truth), Decision(thresholds=(0.5, 0.5)))
    return {name: every[name] for name in ("accuracy", "auroc")}
