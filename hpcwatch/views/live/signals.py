"""Signals as something to wait for, so that each is dealt with between two repaints."""

from __future__ import annotations

import os
import signal
from types import TracebackType
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HEARD = (*ENDING, signal.SIGINT, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)


class Signals:
    """Hears signals while entered; what was set before comes back at the end. Main thread only."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._wakeup = -1

    def __enter__(self) -> Signals:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _HEARD:
            self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """Return what becomes readable when a signal has come."""
        return self._reader

    def take(self) -> list[int]:
        """Return the signals that came since the last time."""
        try:
            return [number for number in os.read(self._reader, 4096) if number in _HEARD]
        except BlockingIOError:
            return []

    def stop(self) -> None:
        """Stop this process as Ctrl-Z does; return when it is continued."""
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, _nothing)


def _nothing(_number: int, _frame: object) -> None:
    """The wakeup descriptor tells."""
