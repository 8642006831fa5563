"""Container limits: the processors and memory of the machine, or less where a container says so."""

import math
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def processors(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Returns how many processors there are, rounded up where a container's quota is a part of one."""
    possible = [float(os.cpu_count() or 1)]
    for group in _groups(cgroups, own, controller=""):  # version 2; without a limit the quota is "max"
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            possible.append(int(quota) / int(period))
    for group in _groups(cgroups, own, controller="cpu"):  # version 1; without a limit the quota is -1
        with suppress(OSError, ValueError):
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            possible.append(int(quota) / int(period))
    return max(1, math.ceil(min(each for each in possible if each > 0)))


def memory_bytes(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Returns how much memory there is, swap left aside."""
    possible = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits = [group / "memory.max" for group in _groups(cgroups, own, controller="")]
    limits += [group / "memory.limit_in_bytes" for group in _groups(cgroups, own, controller="memory")]
    for limit in limits:
        with suppress(OSError, ValueError):  # without a limit it is "max"
            possible.append(int(limit.read_text()))
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min(possible if address_space == resource.RLIM_INFINITY else [*possible, address_space])


def _groups(cgroups: Path, own: Path, *, controller: str) -> Iterator[Path]:
    """Yields the folders of this process's group and of those around it. controller: "" in version 2.

    A container sees its own group as the outermost; then the path in `own` may be the host's, and not be there.
    """
    yield cgroups / controller
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                inner = cgroups / controller / path.strip("/")
                yield from (each for each in (inner, *inner.parents) if each.is_relative_to(cgroups / controller))
