"""python -m training.audit training/recipes/digits.toml: what is wrong with the data. Status 1: it stops training."""

import argparse
from pathlib import Path

from training.audit.check import passed
from training.audit.finding import ALLOWABLE
from training.config import read_recipe
from training.mistakes import told


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.audit", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, help="where the data is, in place of the recipe's path")
    parser.add_argument("--allow", nargs="+", default=[], choices=ALLOWABLE, metavar="NAME", help=", ".join(ALLOWABLE))
    return parser.parse_args()


args = arguments()
with told():
    recipe = read_recipe(args.recipe, data=args.data).allowing(args.allow)
    audit = passed(recipe, recipe.dataset())
counts = ", ".join(f"{len(examples):,} to {split}" for split, examples in audit.parts.items())
print(f"{counts}: nothing stands against training" + f", but for {', '.join(audit.allowed)}" * bool(audit.allowed))
