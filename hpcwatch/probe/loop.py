"""The loop of a probe that runs as a program: a line per sample, until its input ends."""

import math
import os
import select
import signal
import time

from .probe import Probe
from .schema import to_line
from .spec import SILENCE_S

_EARLY_S = (0.25, 1.0)  # a rate needs two samples, and a GPU driver about a second
_SPARE_S = 1.0
_LONGEST_LINE = 1 << 16
_SOON_S = 0.5  # after the last sample: rates over a shorter time say little
_ROUNDING = 1e-6


class Loop:
    """Reads a node on a schedule that does not drift, and reads messages of the watcher."""

    def __init__(
        self,
        probe: Probe,
        interval_s: float,
        output: int,
        source: int = 0,
        silence_s: float = SILENCE_S,
    ) -> None:
        """``output`` and ``source`` are descriptors."""
        self._probe = probe
        self._interval_s = interval_s
        self._output = output
        self._source = source
        self._silence_s = silence_s
        self._started_s = time.monotonic()
        self._heard_s = self._started_s
        self._written_s = self._started_s
        self._line = b""
        """The beginning of a line of input whose end has not come yet."""

    def run(self) -> None:
        """Write samples until input ends, a write fails, or nothing was heard for too long.

        One that is stuck, in a write to a network that is gone or in a reading, is ended by the
        kernel's alarm clock (SIGALRM), which every sign of life sets anew.
        """
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._hear()
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        due_s = self._started_s
        while True:
            now_s = time.monotonic()
            if now_s >= due_s:
                if not self._write():
                    return
                due_s = self._next(due_s)
                self._written_s = now_s
            elif now_s - self._heard_s >= self._silence_s:
                return
            wait_s = min(due_s, self._heard_s + self._silence_s) - time.monotonic()
            if poll.poll(max(math.ceil(wait_s * 1000), 0)):
                data = self._read()
                if not data:
                    return
                self._hear()
                if self._take(data):
                    due_s = min(due_s, self._written_s + _SOON_S)

    def _hear(self) -> None:
        self._heard_s = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, self._silence_s + _SPARE_S)

    def _read(self) -> bytes:
        """Take in a sign of life, or a part of a message. Empty at the end of input."""
        try:
            return os.read(self._source, 65536)
        except OSError:
            return b""

    def _take(self, data: bytes) -> bool:
        """Take in messages. True if there is one that is understood."""
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _LONGEST_LINE:
            self._line = b""
        is_new = False
        for line in filter(None, map(bytes.strip, lines)):
            from .wish import from_message

            try:
                self._probe.take(from_message(line))
            except ValueError:
                continue  # of another version: what it asks for is unknown here
            is_new = True
        return is_new

    def _write(self) -> bool:
        """Write a sample; return False if there is no reader any more."""
        line = (to_line(self._probe.read()) + "\n").encode()
        try:
            while line:
                line = line[os.write(self._output, line) :]
        except OSError:
            return False
        return True

    def _next(self, due_s: float) -> float:
        """When the sample after the one due at ``due_s`` is due; missed ones are left out."""
        now_s = time.monotonic()
        for early_s in _EARLY_S:
            early_due_s = self._started_s + early_s
            if early_s < self._interval_s and due_s < early_due_s and now_s < early_due_s:
                return early_due_s
        # Of a quotient that is rounded down, the next could be the one just due.
        passed = (max(now_s, due_s) - self._started_s) / self._interval_s + _ROUNDING
        return self._started_s + (math.floor(passed) + 1) * self._interval_s
