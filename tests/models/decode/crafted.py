"""Files that an attacker would send, by name, each made when it is needed; those of JPEG stand in crafted_jpeg."""

from tests.models.decode.crafted_png import PNGS
from tests.models.decode.crafted_tiff import TIFFS
from tests.models.decode.handmade_tiff import Maker

CRAFTED: dict[str, Maker] = PNGS | TIFFS
