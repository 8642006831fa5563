"""Memory of this process: its address space, what of it is resident, and the peak over a stretch of time."""

import resource
from pathlib import Path


def address_space_bytes() -> int:
    """Returns what counts against RLIMIT_AS."""
    return _pages(0) * resource.getpagesize()


def resident_bytes() -> int:
    """Returns what is in the machine's memory, that of files too."""
    return _pages(1) * resource.getpagesize()


def _pages(field: int) -> int:
    return int(Path("/proc/self/statm").read_text().split()[field])


class PeakMemory:
    """Measures from its creation on."""

    def __init__(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")  # has the system forget the former peak
            self._before = _bytes("VmRSS")
        except OSError:  # a system without it: then only what exceeds the former peak is seen
            self._before = _bytes("VmHWM")

    def taken(self) -> int:
        """Returns the bytes at the peak beyond those at the beginning."""
        return max(0, _bytes("VmHWM") - self._before)


def _bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])
