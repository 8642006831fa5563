"""TIFF metadata of three dialects (OME-XML, ImageJ, tifffile's own): stack sizes and pixel spacing.

They are a stranger's text, of any length: what is looked for is short, and stands in a known place.
"""

import math
import re
from itertools import islice

import tifffile

CENTIMETRE = 3
MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "\\u00B5m": 1.0}
_OME_PIXELS = re.compile(r"Pixels\s[^<>]{1,10000}")  # of the first image; a literal beginning is found fastest
_OME_TRIES = 100  # for text that only speaks of pixels
_IMAGEJ_LENGTH = 8192  # characters in which ImageJ's own lines stand


def stack_sizes(file: tifffile.TiffFile, *, pages: int) -> dict[str, int]:
    """Reads the numbers of channels, slices and time points that the metadata state. pages: how many the file has."""
    if file.is_ome and file.ome_metadata:
        element = _ome_pixels(file.ome_metadata)
        found = {axis: re.search(rf'\bSize{axis}="(\d{{1,9}})"', element) for axis in "CZT"}
        return {axis: int(match.group(1)) for axis, match in found.items() if match}
    if file.is_imagej:
        stated = _imagej(file)
        sizes = {axis: _number(stated, key, 1) for axis, key in zip("CZT", ("channels", "slices", "frames"))}
        images = _number(stated, "images", math.prod(sizes.values()))
        return sizes if math.prod(sizes.values()) == images else {"I": images}
    shaped = re.search(r'"axes": "C(?:YX|XY)"', file.pages.first.description)  # tifffile's own, beside "shape"
    return {"C": pages} if shaped else {}


def spacing_um(file: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Reads a pixel's height and width in µm from OME-XML, ImageJ or a resolution per centimetre; None if unknown.

    Resolutions per inch are left alone: they are nearly always a printer's 72 or 300, not the specimen's.
    """
    if file.is_ome and file.ome_metadata:
        element = _ome_pixels(file.ome_metadata)
        names = ["PhysicalSizeY" if "PhysicalSizeY=" in element else "PhysicalSizeX", "PhysicalSizeX"]
        sides = [_ome_length(element, name) for name in names]
    else:
        unit = _imagej(file).get("unit", "") if file.is_imagej else ""
        centimetres = not file.is_imagej and page.tags.valueof("ResolutionUnit", 0) == CENTIMETRE
        scale = 1e4 if centimetres else MICROMETRES.get(unit, math.nan)
        counts = [page.tags.valueof(f"{axis}Resolution", (0, 1)) for axis in "YX"]
        sides = [scale * units / pixels if pixels else math.nan for pixels, units in counts]
    height, width = (float(side) for side in sides)
    return (height, width) if 0 < height < math.inf and 0 < width < math.inf else None


def _ome_pixels(xml: str) -> str:
    """Returns the attributes of the first image's <Pixels>."""
    found = islice(_OME_PIXELS.finditer(xml), _OME_TRIES)
    return next((element.group() for element in found if "SizeX=" in element.group()), "")


def _ome_length(element: str, name: str) -> float:
    size = re.search(rf'\b{name}="([0-9.eE+-]{{1,40}})"', element)
    unit = re.search(rf'\b{name}Unit="([^"]{{1,40}})"', element)
    return float(size.group(1)) * MICROMETRES.get(unit.group(1) if unit else "µm", math.nan) if size else math.nan


def _imagej(file: tifffile.TiffFile) -> dict[str, str]:
    """Returns ImageJ's own lines, as in "unit=um"."""
    lines = (file.pages.first.imagej_description or "")[:_IMAGEJ_LENGTH].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def _number(stated: dict[str, str], key: str, missing: int) -> int:
    value = stated.get(key, "")
    return int(value) if value.isdecimal() and len(value) < 10 else missing
