"""Fork server: child processes that start in milliseconds, since they are forks of one that has imported everything.

multiprocessing's own would import this process's main module, BentoML's, in each child.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.errors import SandboxFailed
from service.sandbox.json_channel import Channel, channel_pair
from service.settings import child_environment

_REPLY_S = 60.0  # for its imports, on a machine that is busy
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # a process with threads must not fork
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",  # another takes 64 MiB of addresses, which are what is limited
}


class Child:
    """A child process. channel: to it; the child sees its end as the function's only argument."""

    def __init__(self, server: "ForkServer", pid: int, channel: Channel) -> None:
        self._server, self._pid, self.channel = server, pid, channel

    def end(self) -> int:
        """Kills it if it still runs; returns its exit status, or minus the number of the signal that ended it."""
        status = self._server.end(self._pid)
        self.channel.close()
        return status


class ForkServer:
    """Starts children, for any thread. The server itself is started by the first, and again if it has ended.

    Children end with their server, and the server ends with this process, however that ends.
    """

    def __init__(self, *preload: str, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        """preload: the modules that children need. variables: of their environment, beside this process's."""
        self._preload = preload
        self._environment = {**_ENVIRONMENT, **variables}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None
        self._is_closed = False

    def start(self, target: str) -> Child:
        """Starts a child that calls "module:function" with its Channel. Raises SandboxFailed."""
        ours, theirs = channel_pair()
        try:
            reply = self._ask({"start": target}, theirs.fileno())
        except SandboxFailed:
            ours.close()
            raise
        finally:
            theirs.close()
        return Child(self, reply["pid"], ours)

    def end(self, pid: int) -> int:
        """See Child.end."""
        try:
            status: int = self._ask({"end": pid})["status"]
        except SandboxFailed:  # children end with their server
            return -signal.SIGKILL
        return status

    def close(self) -> None:
        """Ends the server and every child, for good."""
        with self._lock:
            self._is_closed = True
            self._stop()

    def _ask(self, request: dict[str, Any], *descriptors: int) -> dict[str, Any]:
        reason = "it has been closed"
        with self._lock:
            for _ in range(0 if self._is_closed else 2):  # the server may have been killed since the last request
                try:
                    control = self._control or self._launch()
                    control.send(request, *descriptors)
                    return control.receive(timeout_s=_REPLY_S)[0]
                except (OSError, EOFError) as error:
                    self._stop()
                    reason = str(error) or type(error).__name__
        raise SandboxFailed(reason)

    def _launch(self) -> Channel:
        ours, theirs = channel_pair()
        command = [sys.executable, "-m", "service.sandbox", str(theirs.fileno()), *self._preload]
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own command
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=child_environment(**self._environment),
            )
        finally:
            theirs.close()
        self._control = ours
        return ours

    def _stop(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
