"""A recording by time: its samples between two instants, and the clock of a replay."""

from __future__ import annotations

import errno
import re
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator

from hpcwatch.base import reading
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.base.units import format_clock, three_digits
from hpcwatch.probe.ranges import fits
from hpcwatch.probe.schema import Sample, from_line
from hpcwatch.recording import parts
from hpcwatch.recording.store import SAMPLES_FILE, RunDirectory

SPEEDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_HEAD = re.compile(
    rb'"host": ?"(?P<host>(?:[^"\\]|\\.)*)", ?'
    rb'"at_s": ?(?P<at>[0-9.e+]{1,32}), ?"uptime_s": ?(?P<up>[0-9.e+]{1,32})[,}]'
)
_HEAD_BYTES = 4096
_STEP_S = 1.0  # as for the times of a report


class Recording:
    """The samples of a run in the order of their times.

    Only the lines' times and offsets are kept: a recording of many nodes has hundreds of MB.
    """

    def __init__(self, directory: RunDirectory) -> None:
        """Index the file. Raises HpcwatchError if it holds no readings."""
        self._directory = directory
        self._open()
        if not self.at_s:
            hint = "its recording holds no readings"
            raise HpcwatchError(f"{directory.path}: nothing to replay", hint, EXIT_USAGE)

    def _open(self) -> None:
        try:
            self._file = self._directory.part(SAMPLES_FILE).stream
            lines = sorted(self._lines())
        except OSError as error:
            what = f"cannot read {self._directory.place}"
            raise HpcwatchError(what, os_reason(error)) from None
        self.at_s = array("d", (line[0] for line in lines))
        self._offset = array("Q", (line[1] for line in lines))

    def _lines(self) -> Iterator[tuple[float, int]]:
        """Yield time and offset of each line; a line without a time is left out.

        A clock that was set meanwhile shows in its difference to the other clock: the jump is
        removed.
        """
        offset = 0
        began: dict[bytes, float] = {}
        for line in reading.lines_of(self._file):
            head = _HEAD.search(line, 0, _HEAD_BYTES) if parts.is_of_samples(line) else None
            times = None if head is None else _times(head)
            if head is not None and times is not None:
                at_s, uptime_s = times
                steady_s = began.setdefault(head["host"], at_s - uptime_s) + uptime_s
                yield at_s if abs(at_s - steady_s) <= _STEP_S else steady_s, offset
            offset = self._file.tell()

    @property
    def start_s(self) -> float:
        """Time of the first sample."""
        return self.at_s[0]

    @property
    def length_s(self) -> float:
        """Time from the first sample to the last."""
        return self.at_s[-1] - self.at_s[0]

    def count_until(self, at_s: float) -> int:
        """Return how many samples are at or before a time."""
        return bisect_right(self.at_s, at_s)

    def samples(self, first: int, last: int) -> Iterator[Sample]:
        """Yield the samples from ``first`` to before ``last``; torn lines are left out.

        Raises HpcwatchError.
        """
        for place in range(first, last):
            try:
                sample = from_line(self._line(place).decode("utf-8", "replace"))
            except ValueError:
                continue
            yield sample._replace(at_s=self.at_s[place])

    def _line(self, place: int) -> bytes:
        """Return a line. Raises HpcwatchError."""
        for is_last in (False, True):
            try:
                self._file.seek(self._offset[place])
                return self._file.readline()
            except OSError as error:
                if is_last or error.errno != errno.ESTALE:
                    what = f"cannot read {self._directory.place}"
                    raise HpcwatchError(what, os_reason(error)) from None
                self._open()  # on another host the run has ended, and its lines became one file
        return b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _times(head: re.Match[bytes]) -> tuple[float, float] | None:
    """Return a line's two times without parsing all of it; None if it has none."""
    try:
        at_s, uptime_s = float(head["at"]), float(head["up"])
    except ValueError:
        return None
    return (at_s, uptime_s) if fits("at_s", at_s) and fits("uptime_s", uptime_s) else None


class Clock:
    """The position of a replay, in seconds from the start of the recording."""

    def __init__(
        self,
        length_s: float,
        speed: float = 1.0,
        now: Callable[[], float] = time.monotonic,
        is_paused: bool = False,
    ) -> None:
        """``now`` returns the real time in seconds."""
        self._length_s = length_s
        self._speed = speed
        self._now = now
        self._since_s = now()
        self._then_s = 0.0
        self._is_paused = is_paused

    @property
    def at_s(self) -> float:
        """The position now, in seconds; it stops at the end."""
        if self._is_paused:
            return self._then_s
        passed_s = (self._now() - self._since_s) * self._speed
        return min(self._then_s + passed_s, self._length_s)

    @property
    def is_at_end(self) -> bool:
        """True if the position is the end."""
        return self.at_s >= self._length_s

    @property
    def words(self) -> str:
        """Return the position in words: ``replay 3:12 of 10:00, ×10``."""
        how = f"×{three_digits(self._speed)}"
        if self._is_paused:
            how = f"paused at {how}"
        elif self.is_at_end:
            how = "at its end"
        return f"replay {format_clock(self.at_s)} of {format_clock(self._length_s)}, {how}"

    def seek(self, at_s: float) -> None:
        """Move to a time, clipped to the recording."""
        self._then_s = min(max(at_s, 0.0), self._length_s)
        self._since_s = self._now()

    def pause(self) -> None:
        """Pause, or continue; at the end start again."""
        if self.is_at_end and not self._is_paused:
            self.seek(0.0)
            return
        self._then_s, self._since_s = self.at_s, self._now()
        self._is_paused = not self._is_paused

    def change_speed(self, step: int) -> None:
        """Take the next higher (1) or lower (-1) speed, within the list of speeds."""
        self._then_s, self._since_s = self.at_s, self._now()
        if step > 0:
            self._speed = next((one for one in SPEEDS if one > self._speed), self._speed)
        else:
            self._speed = next((one for one in reversed(SPEEDS) if one < self._speed), self._speed)
