"""Container limits: the processors and memory of the machine, or less where a container says so."""

import math
import os
import resource
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMORY_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of versions 2 and 1


def processors(cgroups: Path = _CGROUPS) -> int:
    """Returns how many processors there are, rounded up where a container's quota is a part of one."""
    possible = [float(os.cpu_count() or 1)]
    with suppress(OSError, ValueError):  # version 2; without a limit the quota is "max"
        quota, period = (cgroups / "cpu.max").read_text().split()
        possible.append(int(quota) / int(period))
    with suppress(OSError, ValueError):  # version 1; without a limit the quota is -1
        quota, period = ((cgroups / f"cpu/cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        possible.append(int(quota) / int(period))
    return max(1, math.ceil(min(each for each in possible if each > 0)))


def memory_bytes(cgroups: Path = _CGROUPS) -> int:
    """Returns how much memory there is, swap left aside."""
    possible = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # without a limit it is "max"
            possible.append(int((cgroups / name).read_text()))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min(possible if limit == resource.RLIM_INFINITY else [*possible, limit])
