"""One image's way from bytes to answer: prepare, check, tile, run, interpret."""
