"""Audit of a data set: python -m training.audit training/recipes/digits.toml; status 1 if training would refuse."""

import argparse
from pathlib import Path

from training.audit.data_audit import audit_data
from training.config import read_recipe
from training.findings import ALLOWABLE
from training.user_errors import exit_on_user_error


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.audit", description=__doc__)
    parser.add_argument("recipe", type=Path, help="recipe file")
    parser.add_argument("--data", type=Path, help="path of the data, instead of the recipe's")
    parser.add_argument(
        "--allow",
        nargs="+",
        default=[],
        choices=ALLOWABLE,
        metavar="NAME",
        help="findings to allow: " + ", ".join(ALLOWABLE),
    )
    return parser.parse_args()


args = arguments()
with exit_on_user_error():
    recipe = read_recipe(args.recipe, data=args.data).allowing(args.allow)
    audit = audit_data(recipe, recipe.dataset())
counts = ", ".join(f"{len(examples):,} {split}" for split, examples in audit.parts.items())
print(f"{counts}: ready for training" + f", with allowed findings: {', '.join(audit.allowed)}" * bool(audit.allowed))
