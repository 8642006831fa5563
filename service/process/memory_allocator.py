"""Memory allocator: what has been freed goes back to the system, so that what is admitted fits."""

import ctypes

# Of glibc's mallopt(3); by default each thread keeps blocks of up to 32 MiB, in up to 8 arenas for each processor.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_VALUES = {_ARENA_MAX: 2, _MMAP_THRESHOLD: 4 * 2**20, _TRIM_THRESHOLD: 8 * 2**20}


def install() -> None:
    """Limits what this process keeps; without effect where the C library is another."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)
    for option, value in _VALUES.items():
        set_option(option, value)
