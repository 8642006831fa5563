"""Mutations of every kind of file: the outcome is a picture or an ImageError, and comes as soon as the honest one's."""

import random
import time
from collections.abc import Callable

import pytest

from models.decode import open_source
from models.errors import ImageError
from models.source import Source
from tests.models.decode.files import FILES

# Pillow warns of damaged EXIF and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

RATIO, LEAST_S = 10, 0.05  # a file of a few hundred bytes takes less than a millisecond
MAX_PIXELS = 1_000_000
SEED = 13
Mutation = Callable[[bytearray, random.Random], None]


def bits(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8)):
        data[place(data, chance)] ^= 1 << chance.randrange(8)


def extreme_numbers(data: bytearray, chance: random.Random) -> None:
    """Writes what lengths and offsets are at their limits."""
    size, order = chance.choice((1, 2, 4, 8)), chance.choice(("big", "little"))
    number = chance.choice((0, 1, len(data), 2 ** (8 * size - 1), 2 ** (8 * size) - 1, chance.randrange(2**16)))
    start = place(data, chance)
    data[start : start + size] = (number % 2 ** (8 * size)).to_bytes(size, order)  # type: ignore[arg-type]


def cut(data: bytearray, chance: random.Random) -> None:
    del data[place(data, chance) :]


def splice(data: bytearray, chance: random.Random) -> None:
    """Puts a piece of any file in place of one of this."""
    other = FILES[chance.choice(list(FILES))]
    start, piece = chance.randrange(len(other)), chance.randint(1, 64)
    at = place(data, chance)
    data[at : at + chance.randint(0, 64)] = other[start : start + piece]


def repeat(data: bytearray, chance: random.Random) -> None:
    start = place(data, chance)
    data[start:start] = data[start : start + chance.randint(1, 64)] * chance.randint(1, 100)


MUTATIONS: tuple[Mutation, ...] = (bits, extreme_numbers, cut, splice, repeat)


def place(data: bytearray, chance: random.Random) -> int:
    """Returns a place, more often in the header."""
    return int(chance.random() ** 2 * len(data))


def mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        if changed:
            chance.choice(MUTATIONS)(changed, chance)
    return bytes(changed)


def opened(data: bytes) -> Source | ImageError:
    try:
        return open_source(data, max_pixels=MAX_PIXELS)
    except ImageError as error:
        return error


def seconds(data: bytes, tries: int = 1) -> float:
    """Opens a file, and returns the least processor time that it took."""
    times = []
    for _ in range(tries):
        start = time.thread_time()
        found = opened(data)
        times.append(time.thread_time() - start)
    if isinstance(found, ImageError):
        assert found.status in (413, 415, 422)
    else:
        assert (found.axes in ("YX", "YXS"), found.read().size > 0) == (True, True)
    return min(times)


def mutate_all(count: int, seed: int) -> None:
    chance = random.Random(seed)
    allowed_s = {name: max(LEAST_S, RATIO * seconds(data)) for name, data in FILES.items()}
    for number in range(count):
        name = chance.choice(list(FILES))
        data = mutated(FILES[name], chance)
        if seconds(data) > allowed_s[name]:  # Python may have collected its garbage just then
            assert seconds(data, tries=3) < allowed_s[name], (number, name, data.hex())


def test_300_mutations() -> None:
    mutate_all(300, SEED)


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_20_000_mutations(part: int) -> None:
    mutate_all(1000, SEED + 1 + part)
