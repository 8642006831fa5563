"""TIFF metadata of three dialects (OME-XML, ImageJ, tifffile's own): stack sizes and pixel spacing."""

import math
import re

import tifffile

CENTIMETRE = 3
MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "\\u00B5m": 1.0}


def stack_sizes(file: tifffile.TiffFile, *, pages: int) -> dict[str, int]:
    """Reads the numbers of channels, slices and time points that the metadata state. pages: how many the file has."""
    if file.is_ome and file.ome_metadata:
        found = {axis: re.search(rf'\bSize{axis}="(\d+)"', file.ome_metadata) for axis in "CZT"}
        return {axis: int(match.group(1)) for axis, match in found.items() if match}
    if file.is_imagej:
        stated = file.imagej_metadata or {}
        sizes = {axis: int(stated.get(key, 1)) for axis, key in zip("CZT", ("channels", "slices", "frames"))}
        return sizes if math.prod(sizes.values()) == int(stated.get("images", 1)) else {"I": int(stated["images"])}
    shaped = re.search(r'"axes": "C(?:YX|XY)"', file.pages.first.description)  # tifffile's own, beside "shape"
    return {"C": pages} if shaped else {}


def spacing_um(file: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Reads a pixel's height and width in µm from OME-XML, ImageJ or a resolution per centimetre; None if unknown.

    Resolutions per inch are left alone: they are nearly always a printer's 72 or 300, not the specimen's.
    """
    if file.is_ome and file.ome_metadata:
        names = ["PhysicalSizeY" if "PhysicalSizeY=" in file.ome_metadata else "PhysicalSizeX", "PhysicalSizeX"]
        sides = [_ome_length(file.ome_metadata, name) for name in names]
    else:
        unit = (file.imagej_metadata or {}).get("unit", "") if file.is_imagej else ""
        centimetres = not file.is_imagej and page.tags.valueof("ResolutionUnit", 0) == CENTIMETRE
        scale = 1e4 if centimetres else MICROMETRES.get(unit, math.nan)
        counts = [page.tags.valueof(f"{axis}Resolution", (0, 1)) for axis in "YX"]
        sides = [scale * units / pixels if pixels else math.nan for pixels, units in counts]
    height, width = (float(side) for side in sides)
    return (height, width) if 0 < height < math.inf and 0 < width < math.inf else None


def _ome_length(xml: str, name: str) -> float:
    size = re.search(rf'\b{name}="([0-9.eE+-]+)"', xml)
    unit = re.search(rf'\b{name}Unit="([^"]+)"', xml)
    return float(size.group(1)) * MICROMETRES.get(unit.group(1) if unit else "µm", math.nan) if size else math.nan
