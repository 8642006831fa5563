"""The one EXIF tag that changes what a person sees (JEITA CP-3451)."""

from PIL.Image import Exif

ORIENTATION = 274


def orientation(exif: Exif) -> int:
    """1 ... 8; 1 (upright) where the tag is missing or is no number."""
    value = exif.get(ORIENTATION)
    return value if isinstance(value, int) else 1
