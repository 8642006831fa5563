"""Long job: an image of thousands of small tiles, with the settings that make them so."""

from tests.service.image_files import form, grey

LONG = form(grey(9, height=4000, width=4000))  # thousands of small tiles: seconds
AS_SMALL_TILES = {"STRIATE_TILE_PX": "64", "STRIATE_TIMEOUT_S": "240"}
