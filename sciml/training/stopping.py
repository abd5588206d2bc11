"""SIGTERM and Ctrl-C: training ends where it can be continued, on all devices at the same step.

Lightning alone ends at SIGTERM without a checkpoint, and at Ctrl-C wherever the program is.
"""

import signal
import threading
import time
from types import FrameType
from typing import NoReturn

import torch

from sciml.training import ranks

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 1.0  # seconds


class Stopped(Exception):  # noqa: N818 - no error: the user asked for it
    """A signal ended the run; `number` is the signal's, `together` whether all processes end for it."""

    def __init__(self, number: int, message: str, *, together: bool = False) -> None:
        super().__init__(f"{signal.Signals(number).name}: stopped {message}")
        self.number, self.together = number, together


class StopRequest:
    """Remembers a signal until training can obey; Ctrl-C once more, after `PATIENCE`, ends the program at once.

    Not every second signal does: `timeout` and batch systems send theirs twice, to the process and to its group.
    """

    def __init__(self) -> None:
        self.number, self._since = 0, 0.0

    def listen(self) -> None:
        """Replaces the handlers there are (Lightning puts them back). Signals reach the main thread alone."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._remember)

    def on_any_rank(self, device: torch.device) -> int:
        """The signal that any process has received, 0 for none. All must ask."""
        self.number = ranks.largest(self.number, device)
        return self.number

    def _remember(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number and number == signal.SIGINT and now - self._since > PATIENCE:
            _raise(number, frame)
        if not self.number:
            self.number, self._since = number, now


def ending(status: int) -> str:
    """How a process ended, in words; its exit status is negative where a signal ended it."""
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def end_at_once() -> None:
    """From here on a signal ends the program where it is: nothing is to be saved, as in an evaluation."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number, "at once")
