"""Reads the events that a program appends to the file ``$HPCWATCH_EVENTS``.

Every line is foreign: invalid lines are counted and left out. A program may write without end, so
each reading takes a limited number of lines, the more events a name has the lower the rate at which
they are kept, and the part of the file that was read is freed on disk.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections import deque
from typing import Any

from hpcwatch.analysis.phases import MONITORS, is_result
from hpcwatch.events import (
    FIELDS_MOST,
    LINE_MOST_BYTES,
    LOG,
    NAME_MOST,
    fitting,
)
from hpcwatch.monitor.recent_events import Told
from hpcwatch.recording.store import Event

_CHUNK_BYTES = 1 << 20
_READING_BYTES = 64 << 20
_READING_LINES = 1000  # only the last ones of a reading are parsed: about 10 ms of CPU
_NAMES_MOST = 64
_VALUES_MOST = 256
_BURST = 100.0  # events of one name that are kept at once
_RATE_PER_S = 100.0
_STAGE = 5000  # after this many events the rate falls to a tenth: about 20,000 in a day
_EARLY_S = 5.0  # clocks may be set
_KEEP_SIZE_PUNCH_HOLE = 3  # fallocate(2): FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE


class Marks:
    """Reads one run's events as they come."""

    def __init__(self, descriptor: int, started_s: float) -> None:
        """Read from a descriptor that is open for reading and writing; the caller closes it."""
        self.odd_count = 0
        self.left_out_count = 0
        self.told = Told()
        """The program's current state, for the live view and its findings, from all events."""
        self._descriptor = descriptor
        self._started_s = started_s
        self._offset = 0
        self._freed = 0
        self._rest = b""
        self._rations: dict[str, _Ration] = {}
        self._kept_count = 0
        self._unkept: dict[str, Any] = {}

    def read(self, now_s: float) -> list[Event]:
        """Return the new events since the last call. Raises OSError."""
        return self._kept(self._lines(), now_s)

    def close(self, now_s: float) -> list[Event]:
        """Return the last events, the last values of those left out, and the number left out."""
        lines = self._lines()
        if self._rest:
            lines.append(self._rest)
        events = self._kept(lines, now_s)
        if self._unkept:
            events.append(Event(now_s, LOG, self._unkept))
        if self.odd_count or self.left_out_count:
            counts = {"too_many": self.left_out_count, "not_understood": self.odd_count}
            events.append(Event(now_s, "events left out", counts))
        return events

    def _lines(self) -> deque[bytes]:
        """Return the new complete lines; if there are very many, only the last ones."""
        end = os.fstat(self._descriptor).st_size  # no further, however fast it grows
        if end < self._offset:  # a writer used > instead of >>
            self._offset, self._freed, self._rest = 0, 0, b""
        if end - self._offset > _READING_BYTES:  # the number of lines is unknown
            self._offset, self._rest = end - _READING_BYTES, b""
            self.left_out_count += 1
        kept: deque[bytes] = deque(maxlen=_READING_LINES)
        count = 0
        while self._offset < end:
            chunk = os.pread(self._descriptor, _CHUNK_BYTES, self._offset)
            if not chunk:
                break
            self._offset += len(chunk)
            *lines, rest = (self._rest + chunk).split(b"\n")
            self._rest = rest[: LINE_MOST_BYTES + 1]  # enough to see that it is too long
            lines = [line for line in lines if line.strip()]
            count += len(lines)
            kept.extend(lines)
        self.left_out_count += count - len(kept)
        self._free()
        return kept

    def _free(self) -> None:
        """Free the part that was read; the file's length, at which writers append, stays."""
        if self._offset - self._freed >= _CHUNK_BYTES:
            start, length = ctypes.c_long(self._freed), ctypes.c_long(self._offset - self._freed)
            # A file system without this call keeps the bytes until the end.
            ctypes.CDLL(None).fallocate(self._descriptor, _KEEP_SIZE_PUNCH_HOLE, start, length)
            self._freed = self._offset

    def _kept(self, lines: deque[bytes], now_s: float) -> list[Event]:
        kept = []
        for line in lines:
            event = parse(line, self._started_s, now_s)
            if event is None or not self._is_known(event.name):
                self.odd_count += 1
                continue
            self.told.add(event)
            if self._rations[event.name].take(now_s, self._kept_count):
                self._kept_count += 1
                kept.append(event)
                for name in event.fields:
                    self._unkept.pop(name, None)
            else:
                self.left_out_count += 1
                if is_result(event) and len(self._unkept) < _VALUES_MOST:
                    self._unkept.update(event.fields)
        return kept

    def _is_known(self, name: str) -> bool:
        if name not in self._rations and len(self._rations) < _NAMES_MOST:
            self._rations[name] = _Ration()
        return name in self._rations


def parse(line: bytes, started_s: float, now_s: float) -> Event | None:
    """Return the event in a line; None if the line is not an event.

    ``{"name": ..., "at": ..., "fields": {...}}``, or the values alone. A time that is missing or
    not between the run's start and now is replaced by now.
    """
    if len(line) > LINE_MOST_BYTES:
        return None
    try:
        plain = json.loads(line, parse_constant=float)  # NaN, which some writers produce
    except (ValueError, RecursionError):
        return None
    if not isinstance(plain, dict):
        return None
    at_s = plain.pop("at", None)
    is_long = "name" in plain and plain.keys() <= {"name", "fields"}
    name, told = (plain["name"], plain.get("fields", {})) if is_long else (LOG, plain)
    if not (_is_name(name) and name not in MONITORS) or not isinstance(told, dict):
        return None
    if len(told) > FIELDS_MOST or not (is_long or told) or not all(map(_is_name, told)):
        return None
    is_told = isinstance(at_s, (int, float)) and started_s - _EARLY_S <= at_s <= now_s + _EARLY_S
    fields = {field: _value(value) for field, value in told.items()}
    return Event(float(at_s) if is_told else now_s, name, fields)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= NAME_MOST and name.isprintable()


def _value(value: object) -> float | str | bool | None:
    """Return a plain value; lists and other types become text."""
    is_plain = value is None or isinstance(value, (str, int, float))
    return fitting(value if is_plain else json.dumps(value))


class _Ration:
    """Limits the events of one name: first a burst, then a rate."""

    def __init__(self) -> None:
        self._left = _BURST
        self._at_s: float | None = None

    def take(self, now_s: float, kept_count: int) -> bool:
        """Take one of the ration; False if none is left. ``kept_count`` is the run's total."""
        rate_per_s = _RATE_PER_S / 10 ** (kept_count // _STAGE)
        past_s = max(now_s - self._at_s, 0.0) if self._at_s is not None else 0.0
        self._at_s = now_s
        self._left = min(self._left + past_s * rate_per_s, _BURST)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
