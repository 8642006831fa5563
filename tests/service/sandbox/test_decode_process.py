"""Tests of decode processes: what they give is what decoding here gives, and no file outlives its deadline."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import psutil
import pytest

from models.decode import Probe, open_source, probe
from models.errors import DamagedImage, ImageError, NotAnImage, UnsupportedImage
from models.image import Array
from models.objects import separate
from models.source import RegionError, image_of
from service.errors import DeadlinePassed, MemoryFull, SandboxFailed
from service.sandbox.decode_process import DecodeProcess
from service.sandbox.fork_server import ForkServer
from service.scheduling.work import Deadline
from tests.models.decode.files import FILES, noise, png, tiff
from tests.models.tiny_descriptions import segmenter_fields
from tests.package_parts import spec_of
from tests.service.service_processes import until

SEGMENTER = spec_of(**segmenter_fields())
REAL, CHILDREN = "service.sandbox.decode_child", "tests.service.sandbox.children"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer(REAL, CHILDREN)
    yield server
    server.close()


@contextmanager
def running(server: ForkServer, child: str) -> Iterator[DecodeProcess]:
    process = DecodeProcess(partial(server.start, child))
    yield process
    process.close()


@pytest.fixture(scope="module")
def process(server: ForkServer) -> Iterator[DecodeProcess]:
    with running(server, f"{REAL}:main") as process:
        yield process


def within(seconds: float) -> Deadline:
    return Deadline(time.monotonic() + seconds, seconds)


def admit(_: Probe) -> None:
    pass


def read(process: DecodeProcess, data: bytes, *, seconds: float = 60) -> Array:
    with process.opened(data, within(seconds), admit=admit) as source:
        return source.read()


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_it_is_here(process: DecodeProcess, name: str) -> None:
    data, probed = FILES[name], []
    here = open_source(data, max_pixels=10_000)
    with process.opened(data, within(60), admit=probed.append) as source:
        np.testing.assert_array_equal(source.read(), here.read())
        assert source.read().dtype == here.dtype == source.dtype
        assert (source.axes, source.format, source.levels) == (here.axes, here.format, here.levels)
        assert (source.spacing, source.orientation) == (here.spacing, here.orientation)
        assert image_of(source).pixel_size_um == image_of(here).pixel_size_um
    assert probed[0] == probe(data)._replace(header=None)


def test_regions_are_read_one_by_one(process: DecodeProcess) -> None:
    pixels = noise(60, 70, 3)
    with process.opened(tiff(pixels), within(60), admit=admit) as source:
        for top, left in ((0, 0), (10, 50), (59, 69)):
            region = {"Y": slice(top, top + 20), "X": slice(left, left + 30)}
            np.testing.assert_array_equal(source.read(region), pixels[top : top + 20, left : left + 30])
        with pytest.raises(RegionError, match="no axis Z"):
            source.read({"Z": slice(0, 1)})
        with pytest.raises(RegionError, match="no level 1"):
            source.read(level=1)


def test_pixels_outlive_the_block_and_the_next_file(process: DecodeProcess) -> None:
    first, second = read(process, png(noise(50, 50))), read(process, png(255 - noise(50, 50)))
    np.testing.assert_array_equal(first, noise(50, 50))
    np.testing.assert_array_equal(second, 255 - noise(50, 50))


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (b"GIF89a", NotAnImage, "47 49 46"),
        (b"", NotAnImage, "is empty"),
        (png(noise(9, 11))[:-20], DamagedImage, "PNG file is damaged"),
        (tiff(noise(5, 9, 11), photometric="minisblack"), UnsupportedImage, "one plane"),
    ],
)
def test_errors_are_those_of_decoding_here(
    process: DecodeProcess, data: bytes, error: type[ImageError], sentence: str
) -> None:
    with pytest.raises(error) as here:
        open_source(data, max_pixels=10_000)
    with pytest.raises(error, match=sentence) as there:
        read(process, data)
    assert str(there.value) == str(here.value)
    assert type(there.value) is type(here.value)


def test_what_is_not_admitted_is_not_decoded(server: ForkServer) -> None:
    def refuse(_: Probe) -> None:
        raise MemoryFull

    with running(server, f"{CHILDREN}:breaks_in_open") as process:
        for _ in range(2):  # and the process goes on
            with pytest.raises(MemoryFull), process.opened(FILES["grey png"], within(60), admit=refuse):
                pass


@pytest.mark.parametrize("step", ["probe", "open", "read"])
def test_a_step_that_does_not_end_is_ended_at_the_deadline(server: ForkServer, step: str) -> None:
    before = set(psutil.Process().children(recursive=True))
    with running(server, f"{CHILDREN}:stalls_in_{step}") as process:
        for _ in range(2):  # in a new process each
            started = time.monotonic()
            with pytest.raises(DeadlinePassed, match=r"0\.5"):
                read(process, FILES["grey png"], seconds=0.5)
            assert time.monotonic() - started < 2.5
        assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.parametrize("step", ["probe", "open", "read"])
def test_a_file_that_crashes_its_decoder_is_damaged(server: ForkServer, step: str) -> None:
    with (
        running(server, f"{CHILDREN}:breaks_in_{step}") as process,
        pytest.raises(DamagedImage, match=r"PNG file .* status -11"),
    ):
        read(process, FILES["grey png"])


@pytest.mark.parametrize("lie", ["nothing", "a_size", "a_dtype", "axes", "an_error"])
def test_a_child_that_has_been_taken_over_is_not_believed(server: ForkServer, lie: str) -> None:
    with running(server, f"{CHILDREN}:lies_of_{lie}") as process, pytest.raises(DamagedImage):
        read(process, FILES["grey png"])


def test_nothing_is_kept_of_a_file_that_is_refused_by_its_header(server: ForkServer) -> None:
    with running(server, f"{CHILDREN}:refuses_and_keeps") as process:
        for _ in range(3):
            with pytest.raises(DamagedImage, match="it is refused"):
                read(process, FILES["grey png"])
        assert process._child
        child = psutil.Process(process._child._pid)
        until(lambda: child.memory_info().rss < 200 * 2**20, timeout_s=10)


def test_objects_are_those_of_separating_here(process: DecodeProcess) -> None:
    maps = np.random.default_rng(0).random((2, 70, 90), dtype=np.float32)
    for probabilities in (maps, np.moveaxis(np.ascontiguousarray(np.moveaxis(maps, 0, 2)), 2, 0)):
        labels = process.separate(probabilities, SEGMENTER, within(60))
        np.testing.assert_array_equal(labels, separate(maps, SEGMENTER))
        assert labels.dtype == np.int32


def test_objects_are_given_up_at_the_deadline(server: ForkServer) -> None:
    with running(server, f"{CHILDREN}:stalls_in_separate") as process:
        started = time.monotonic()
        with pytest.raises(DeadlinePassed, match=r"0\.5"):
            process.separate(np.ones((2, 70, 90), np.float32), SEGMENTER, within(0.5))
        assert time.monotonic() - started < 2.5


@pytest.mark.parametrize("child", ["breaks_in_separate", "lies_of_labels"])
def test_labels_that_are_none_are_not_believed(server: ForkServer, child: str) -> None:
    with running(server, f"{CHILDREN}:{child}") as process, pytest.raises(SandboxFailed):
        process.separate(np.ones((2, 70, 90), np.float32), SEGMENTER, within(60))


def test_a_decoder_that_takes_too_much_memory_is_refused_it(server: ForkServer) -> None:
    with (
        running(server, f"{CHILDREN}:devours_memory") as process,
        pytest.raises(DamagedImage, match="too much memory"),
    ):
        read(process, FILES["grey png"])


def test_a_system_that_gives_too_little_memory_is_full(server: ForkServer) -> None:
    with running(server, f"{CHILDREN}:has_little_memory") as process, pytest.raises(MemoryFull):
        read(process, FILES["grey png"])


def test_a_process_that_was_killed_meanwhile_is_replaced(process: DecodeProcess) -> None:
    before = read(process, FILES["grey png"])
    for child in psutil.Process().children(recursive=True)[1:]:  # the first is the server
        child.kill()
    time.sleep(0.1)
    np.testing.assert_array_equal(read(process, FILES["grey png"]), before)


def test_without_a_server_there_is_no_process() -> None:
    closed = ForkServer(REAL)
    closed.close()
    with running(closed, f"{REAL}:main") as process, pytest.raises(SandboxFailed, match="closed"):
        read(process, FILES["grey png"])


def test_no_descriptor_is_left_open(process: DecodeProcess) -> None:
    read(process, FILES["grey png"])
    before = psutil.Process().num_fds()
    for _ in range(20):
        read(process, FILES["grey png"])
    assert psutil.Process().num_fds() == before
