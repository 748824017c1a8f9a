"""Standard error for the monitor of a running program: it may be closed, full, or hang."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time

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
        from hpcwatch.base.clean import clean

        write(f"hpcwatch: {clean(message)}\n")

    thread = threading.Thread(target=told, name="hpcwatch-say", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread can be started
        told()
    else:
        thread.join(PATIENCE_S)
