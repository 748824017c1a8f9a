"""The monitor's connection to the process that delivers messages. Sending never waits."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence

from hpcwatch.base.clean import clean
from hpcwatch.monitor.notify import process
from hpcwatch.monitor.notify.digest import Spool
from hpcwatch.monitor.notify.message import Message, Subject, line
from hpcwatch.monitor.notify.plan import Ways

Start = Callable[[Sequence[str]], tuple[int, int]]
"""Starts a process; returns the descriptors of its input and output. Raises OSError."""
_MOST_ANSWER_BYTES = 1 << 16


def start_process(argv: Sequence[str]) -> tuple[int, int]:
    """Start a process in its own session. Raises OSError."""
    child = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        return os.dup(child.stdin.fileno()), os.dup(child.stdout.fileno())


class Channel:
    """Hands messages to the process through a pipe, which has room for at least 16."""

    def __init__(self, ways: Ways, spool: Spool | None, start: Start) -> None:
        """Raises OSError if the process cannot be started."""
        self._to_process, self._from_process = start(process.ARGV)
        self._left_out = 0
        os.set_blocking(self._to_process, False)
        os.set_blocking(self._from_process, False)
        os.write(self._to_process, process.task(ways, spool))

    def send(self, message: Message, about: Subject) -> None:
        """Hand over a message. It is lost if the pipe is full."""
        try:
            os.write(self._to_process, line(message, about))
        except OSError:  # the pipe is full, or the process has ended
            self._left_out += 1

    def close(self, patience_s: float) -> list[str]:
        """End the sending; return the failures that are known within ``patience_s`` seconds.

        The process continues to deliver the remaining messages.
        """
        os.close(self._to_process)
        said, is_done = self._answers(time.monotonic() + patience_s)
        os.close(self._from_process)
        if not is_done:
            said.append(
                f"whether the last message arrives is unknown: no answer in {patience_s:g} s"
            )
        if self._left_out:
            noun = "message was" if self._left_out == 1 else "messages were"
            said.append(f"{self._left_out} {noun} left out")
        return said

    def _answers(self, end_s: float) -> tuple[list[str], bool]:
        """Return the failures, and whether the process has delivered everything."""
        data, is_done = b"", False
        while len(data) < _MOST_ANSWER_BYTES:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not select.select([self._from_process], [], [], left_s)[0]:
                break
            piece = os.read(self._from_process, 4096)
            if not piece:
                is_done = True
                break
            data += piece
        return list(filter(None, map(_failure, data.splitlines()))), is_done


def _failure(text: bytes) -> str:
    try:
        return clean(str(json.loads(text)["failed"]))
    except (ValueError, KeyError, TypeError):
        return ""
