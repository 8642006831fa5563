"""A decode process that has nothing to do keeps little memory, whatever the files before were, and became of them."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import numpy as np
import PIL.Image
import psutil
import pytest

from models.errors import ImageError
from service.sandbox.decode_process import DecodeProcess
from service.sandbox.decoders import KEEPS_MEMORY
from service.sandbox.fork_server import ForkServer
from tests.models.decode.crafted_png import chunk
from tests.models.decode.files import noise, pillow, png, tiff
from tests.service.sandbox.test_decode_process import read
from tests.service.service_processes import until

REAL = "service.sandbox.decode_child"
KEPT = 40 * 2**20  # 32 MiB of freed memory, and what a decoder's library makes once
SIDE = 5000
PICTURE = np.tile(noise(1000, 1000), (5, 5))
TEXT = chunk(b"tEXt", bytes(SIDE * SIDE))[:-4] + b"none"  # a checksum that is wrong

FILES = {
    "png": png(PICTURE),
    "jpeg": pillow(PICTURE, "JPEG"),
    "CMYK jpeg": pillow(PIL.Image.fromarray(noise(2000, 2000, 4), "CMYK"), "JPEG", quality=98),
    "tiff": tiff(PICTURE),
    "float tiff": tiff(noise(3000, 3000, dtype=np.float32)),
    "zlib tiff": tiff(PICTURE, compression="zlib"),
    "png refused in its header": png(noise(9, 11))[:33] + TEXT + png(noise(9, 11))[33:],
    "jpeg refused in its header": b"\xff\xd8\xff" + bytes(SIDE * SIDE),
    "tiff refused in its header": tiff(PICTURE.reshape(2, SIDE // 2, SIDE), photometric="minisblack"),
    "png refused when decoded": png(PICTURE)[:-1000],
    "tiff refused when decoded": tiff(PICTURE)[:-1000],
}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer(REAL, variables=KEEPS_MEMORY)
    yield server
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_ten_large_files_leave_nothing_in_a_process(server: ForkServer, name: str) -> None:
    process = DecodeProcess(partial(server.start, f"{REAL}:main"))
    read(process, png(noise(9, 11)))
    assert process._child
    child = psutil.Process(process._child._pid)
    before = child.memory_info().rss
    for _ in range(10):
        with suppress(ImageError):
            read(process, FILES[name])
    until(lambda: child.memory_info().rss < before + KEPT, timeout_s=5)
    process.close()
