"""Decoding in a child process: files are probed, opened and read region by region, and objects are separated."""

import ctypes
import gc
import mmap
import os
import resource
from typing import Any

import numpy as np

from models.decode import Decoder, Probe, recognised
from models.errors import DamagedImage, ImageError
from models.objects import GrowthLimits, grow
from models.source import Source
from service.sandbox.decode_messages import ErrorMessage, ProbeMessage, SourceMessage
from service.sandbox.json_channel import Channel
from service.sandbox.peak_memory import address_space_bytes, resident_bytes

_FILES = 64
_KEPT_BYTES = 2**25  # of freed memory that glibc may keep for the next file


def main(channel: Channel) -> None:
    """Answers a DecodeProcess until it closes the channel."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # the pixels' memory has its size already
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)  # of glibc alone
    own = resident_bytes()
    decoding = Decoding()
    while True:
        request, descriptors = channel.receive()
        if "close" in request:
            decoding = Decoding()
            gc.collect()  # a decoder's library may have left the file in a cycle of references
            if resident_bytes() > own + _KEPT_BYTES:
                trim(0)
            continue
        channel.send(_answer(decoding, request, descriptors))
        for descriptor in descriptors:
            os.close(descriptor)


def _answer(decoding: "Decoding", request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    is_enough = _limit_memory(request.pop("memory"))
    ((step, arguments),) = request.items()
    try:
        return getattr(decoding, step)(*descriptors, **arguments)  # type: ignore[no-any-return]
    except ImageError as error:
        return {"error": ErrorMessage.of(error).model_dump()}
    except MemoryError:
        if not is_enough:
            return {"full": True}
        return {"error": ErrorMessage.of(DamagedImage("image", "decoding it takes too much memory")).model_dump()}


class Decoding:
    """The file that is being decoded, as far as it has got. Its methods are the requests, and return the answers."""

    def __init__(self) -> None:
        self._data = b""
        self._decoder: Decoder
        self._probed: Probe
        self._source: Source

    def probe(self, file: int, *, nbytes: int) -> dict[str, Any]:
        with mmap.mmap(file, nbytes, prot=mmap.PROT_READ) as shared:
            self._data = shared[:]
        self._decoder = recognised(self._data)
        self._probed = self._decoder.probe(self._data)
        return ProbeMessage.of(self._probed).model_dump()

    def open(self) -> dict[str, Any]:
        self._source = self._decoder.open(self._data, self._probed)
        return SourceMessage.of(self._source).model_dump()

    def read(self, memory: int, *, region: dict[str, list[int]], level: int, nbytes: int) -> dict[str, Any]:
        """Writes the pixels of a region into the memory of the descriptor."""
        pixels = self._source.read({axis: slice(*ends) for axis, ends in region.items()}, level)
        with mmap.mmap(memory, nbytes) as target:
            np.ndarray(pixels.shape, pixels.dtype.newbyteorder("="), target)[...] = pixels
        return {}

    def separate(self, maps: int, labels: int, *, shape: tuple[int, int], limits: GrowthLimits) -> dict[str, Any]:
        """Grows seeds: the descriptors' memory holds both maps, (2, H, W) float32, and is to hold (H, W) int32."""
        foreground, height = np.ndarray((2, *shape), np.float32, mmap.mmap(maps, 0, prot=mmap.PROT_READ))
        np.ndarray(shape, np.int32, mmap.mmap(labels, 0))[...] = grow(foreground, height, **limits)
        return {}


def _limit_memory(nbytes: int) -> bool:
    """Bounds what this process may take beside what it has now; returns False if the system allows it less."""
    own = address_space_bytes()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    is_enough = most == resource.RLIM_INFINITY or own + nbytes <= most
    resource.setrlimit(resource.RLIMIT_AS, (own + nbytes if is_enough else most, most))
    return is_enough
