"""Images that hostile callers send: crafted ones, large honest ones, and real ones that have been damaged."""

import random
from pathlib import Path

import imagecodecs

from tests.data import FOLDER
from tests.models.decode.crafted import CRAFTED
from tests.models.decode.crafted_jpeg import CRAFTED as CRAFTED_JPEG
from tests.models.decode.files import FILES, soft
from tests.service.image_files import grey, jpeg, png_claiming, tiff
from tests.service.repository.package_mutations import bytes_of

STARTER = Path(__file__).parents[3] / "models" / "starter"
REAL = ("kermany_cxr/test/NORMAL", "he_tiles/lung_n", "chest_xray_samples", "tiff_zoo/exampletiffs", "wsi/large_image")
MOST_BYTES, A_FOLDER = 2_000_000, 12


def crafted() -> list[bytes]:
    """Every file that is meant to take long, and some that state to be vast."""
    made = [make() for make in CRAFTED.values()] + [content for content, _ in CRAFTED_JPEG.values()]
    return [*made, png_claiming(90_000, 90_000), png_claiming(7000, 7000), grey(0, height=7000, width=7000)]


def large() -> list[bytes]:
    """Honest images of 25 megapixels and more, of some 10 MB each."""
    return [
        bytes(imagecodecs.png_encode(soft(5000, 5000), level=1)),
        jpeg(soft(5000, 6000)),
        tiff(soft(5000, 5000), tile=(256, 256), compression="zlib", compressionargs={"level": 1}),
    ]


def real() -> list[bytes]:
    """The samples of the starter packages, the real data as far as it is there, and a small file of each format."""
    folders = (sorted(path for path in (FOLDER / name).glob("*.*") if path.is_file()) for name in REAL)
    paths = [*sorted(STARTER.glob("*/*/*.png")), *(path for folder in folders for path in folder[:A_FOLDER])]
    return [*FILES.values(), *(path.read_bytes() for path in paths if path.stat().st_size < MOST_BYTES)]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Damages a file, up to three times."""
    for _ in range(chance.randint(1, 3)):
        data = bytes_of(chance, data)
    return data
