"""Decoding cost of a TIFF's pages: their strips or tiles (segments), and the bytes those point at."""

import math

import tifffile

from models.decode.decoder import Cost, check_cost, most_deflated
from models.errors import DamagedImage, TooCostly

_PIXELS_A_SEGMENT = 4096  # that a segment takes as long as, however few it has
_PIXELS_A_LENGTH = 128  # that it takes to see whether a segment follows the one before
_PADDING = 2**24  # bytes that tiles may reach beyond any image: those of 1024 x 1024 colour pixels of 32 bits
_DEFLATE = {tifffile.COMPRESSION.ADOBE_DEFLATE, tifffile.COMPRESSION.DEFLATE}
_SPARE = 2**16  # bytes that any compressed page may take


def pages_cost(pages: list[tifffile.TiffPage], *, file_bytes: int) -> Cost | None:
    """Returns what decoding pages takes; None where each is stored as one piece. Raises TooCostly, DamagedImage."""
    costs = list(filter(None, (_cost(page, file_bytes) for page in pages)))
    return Cost(sum(cost.pixel_passes for cost in costs), costs[0].because) if costs else None


def _cost(page: tifffile.TiffPage, file_bytes: int) -> Cost | None:
    pixels, count = page.imagelength * page.imagewidth, math.prod(page.chunked)
    segments = f"{count:,} {'tile' if page.is_tiled else 'strip'}{'s'[: count - 1]}"
    because = f"{segments} for {pixels:,} pixels"
    listed = max(count, len(page.dataoffsets))
    check_cost(Cost(pixels + _PIXELS_A_LENGTH * listed, because), pixels=pixels * page.samplesperpixel)
    if page.is_contiguous:
        return None
    cost = Cost(pixels + _PIXELS_A_SEGMENT * count, because)
    check_cost(cost, pixels=pixels * page.samplesperpixel)
    inflated = count * math.prod(page.chunks) * page.dtype.itemsize
    if page.is_tiled:
        _check_padding(page, segments, inflated)
    _check_bytes(page, segments, count, inflated, file_bytes)
    return cost


def _check_padding(page: tifffile.TiffPage, segments: str, inflated: int) -> None:
    limit = 2 * page.nbytes + _PADDING
    if inflated > limit:
        what = f"{segments} of {page.tilewidth} x {page.tilelength} for {page.imagewidth} x {page.imagelength} pixels"
        raise TooCostly(what, pixel_passes=inflated, limit=limit)


def _check_bytes(page: tifffile.TiffPage, segments: str, count: int, inflated: int, file_bytes: int) -> None:
    """Refuses segments that overlap, and compressed ones that are far larger than what they become."""
    counts = page.databytecounts[:count]
    if counts and min(counts) < 0:
        raise DamagedImage("tiff", "a length that it states is negative")
    limit = 2 * file_bytes
    if page.compression != tifffile.COMPRESSION.NONE:
        most = most_deflated(inflated) if page.compression in _DEFLATE else 2 * inflated
        limit = min(limit, most + _PIXELS_A_SEGMENT * count + _SPARE)
    pointed = sum(counts)
    if pointed > limit:  # a length that leads out of the file is common, and harmless
        pointed = sum(min(length, max(file_bytes - start, 0)) for start, length in zip(page.dataoffsets, counts))
    if pointed > limit:
        what = f"{segments} that {'point' if count > 1 else 'points'} at {pointed:,} bytes of a file of {file_bytes:,}"
        raise TooCostly(what, pixel_passes=pointed, limit=limit)
