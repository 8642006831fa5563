"""TIFF files as tifffile reads them, from bytes in memory, of which nothing remains afterwards."""

import io
import logging
from typing import Any

import tifffile

# Vendors' kinds of TIFF, for which tifffile would read more than the pages that are asked for.
_PLAIN: dict[str, Any] = {f"is_{flag}": False for flag in tifffile.TIFF.FILE_FLAGS - {"ome", "imagej"}}

# tifffile logs what it dislikes in a file, tag contents included; a tag may hold a name.
logging.getLogger("tifffile").disabled = True


class TiffFile:
    """A TIFF's first pages, which can be decoded for as long as this object exists.

    tifffile's objects refer to each other in cycles: they would keep the file's bytes until garbage is collected.
    """

    def __init__(self, data: bytes, *, pages: int) -> None:
        self._stream = io.BytesIO(data)
        self.pages: list[tifffile.TiffPage] = []
        self.tiff = tifffile.TiffFile(self._stream, _multifile=False, **_PLAIN)
        for index in range(pages):
            self.pages.append(self.tiff.pages[index])

    def __del__(self) -> None:
        self._stream.close()
        for page in self.pages:
            vars(page).clear()
        if tiff := getattr(self, "tiff", None):  # what is no TIFF raises before
            vars(tiff).clear()
