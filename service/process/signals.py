"""Signal handling of circus, BentoML's process manager: a termination signal must not be lost while it is busy."""

from circus import controller
from circus.client import make_json
from circus.sighandler import SysHandler

_RETRY_S = 0.05


def install() -> None:
    """Makes circus handle signals with RetryingSysHandler."""
    controller.SysHandler = RetryingSysHandler


class RetryingSysHandler(SysHandler):  # type: ignore[misc]
    """A signal handler that repeats the quit command until circus accepts it.

    circus, as in BentoML 1.4.39, rejects a command while another one runs, and a signal has no sender to notify.
    A SIGTERM while a front end is being restarted would leave the service running until it is killed.
    """

    def quit(self) -> None:
        self.controller.loop.add_callback_from_signal(self._quit_or_retry)

    def _quit_or_retry(self) -> None:
        if not self.controller.arbiter._stopping:
            self.controller.dispatch((None, make_json("quit")))
            self.controller.loop.call_later(_RETRY_S, self._quit_or_retry)
