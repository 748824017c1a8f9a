"""What the monitor of a running program writes to standard error, which may be closed or hang.

Each error is one line, and the run goes on.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.probe.typed import Callable

PATIENCE_S = 0.4
"""A pipe that accepts nothing for this time is abandoned: its reader is stopped or gone."""
_PIECE_BYTES = 4096  # PIPE_BUF: a pipe that is ready accepts this much without blocking


def write(text: str) -> None:
    """Write a text; what a closed, full or stopped stream does not accept is lost.

    Waits for a terminal and a file. Never raises.
    """
    stream = sys.stderr
    if stream is None:  # print would choose standard output, which is the program's
        return
    try:
        descriptor = stream.fileno()
        data = text.encode(stream.encoding, stream.errors or "strict")
        if _can_be_full(descriptor):
            _write_while_taken(descriptor, data)
            return
        stream.write(text)
        stream.flush()
    except (Exception, SystemExit):  # noqa: S110
        pass  # the reader is gone


def _can_be_full(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _write_while_taken(descriptor: int, data: bytes) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    give_up_s = time.monotonic() + PATIENCE_S
    while data:
        left_s = give_up_s - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1000):
            return
        data = data[os.write(descriptor, data[:_PIECE_BYTES]) :]
        give_up_s = time.monotonic() + PATIENCE_S


def say(message: str) -> None:
    """Write a line of ours; return after a limited time, whatever standard error is."""

    def told() -> None:
        write(f"hpcwatch: {clean(message)}\n")

    import threading  # most monitors have nothing to say, and it takes milliseconds

    thread = threading.Thread(target=told, name="hpcwatch-say", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread can be started
        told()
    else:
        thread.join(PATIENCE_S)


class Complaints:
    """Prints each error once. Any thread may call it."""

    def __init__(self, note: Callable[[str], bool]) -> None:
        """``note`` shows a line in the live view; it returns False if there is no view."""
        self._note = note
        self._said: set[str] = set()

    def say(self, message: str) -> None:
        """Print a line once, in the live view or on standard error."""
        if message in self._said:
            return
        self._said.add(message)
        line = f"hpcwatch: {clean(message)}\n"
        if not self._note(line):
            write(line)

    def guarded(self, what: str, step: Callable[[], None]) -> None:
        """Run a step; its failure is one line, and the program runs on."""
        attempt(self.say, what, step)


def attempt(say: Callable[[str], None], what: str, step: Callable[[], None]) -> bool:
    """Take a step; True if it went well. Its failure is said in one line, and all else goes on."""
    about = f"{what}: " if what else ""
    try:
        step()
    except HpcwatchError as error:
        say(f"{about}{error}")
    except OSError as error:
        say(f"{about}{os_reason(error)}")
    except Exception as error:  # a mistake of ours must not end somebody's run of three days
        say(f"{about}{type(error).__name__}: {error}")
    else:
        return True
    return False
