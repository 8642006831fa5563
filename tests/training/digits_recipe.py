"""Recipe of scikit-learn's digits, the smallest that trains."""

from pathlib import Path

DIGITS = Path("training/recipes/digits.toml")
