"""Termination signals: one that comes while BentoML's process manager (circus) is busy is heeded too."""

from circus import controller
from circus.client import make_json
from circus.sighandler import SysHandler

_AGAIN_S = 0.05


def install() -> None:
    """Has circus handle signals by Insisting."""
    controller.SysHandler = RetryingSysHandler


class RetryingSysHandler(SysHandler):  # type: ignore[misc]
    """Repeats the command to quit until it is taken.

    circus, as in BentoML 1.4.39, refuses a command while another runs, and tells whoever sent it: of a signal, nobody.
    SIGTERM at the moment in which a front end is started again would leave the service running until it is killed.
    """

    def quit(self) -> None:
        self.controller.loop.add_callback_from_signal(self._insist)

    def _insist(self) -> None:
        if not self.controller.arbiter._stopping:
            self.controller.dispatch((None, make_json("quit")))
            self.controller.loop.call_later(_AGAIN_S, self._insist)
