"""EXIF orientation, the one tag that changes what a person sees (JEITA CP-3451)."""

from PIL.Image import Exif

ORIENTATION = 274


def orientation_of(exif: Exif) -> int:
    """Returns 1 ... 8; 1 (upright) where the tag is missing or is no number."""
    value = exif.get(ORIENTATION)
    return value if isinstance(value, int) else 1
