"""Receives a node's output within bounds: a node may be broken, or lie.

The bounds are per node. They are far above the output of our probe: one line per interval, and a
few hundred bytes for each process that it names.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.bundle import LineReader
from hpcwatch.probe.schema import Process, Sample, from_line
from hpcwatch.probe.wish import MOST_PROCESSES

FIRST_READING_S = 30.0
"""How long after its greeting a probe may take for its first reading."""
_BURST_LINES, _LINES_PER_INTERVAL, _LINES_PER_S = 200, 4.0, 10.0
_BURST_BYTES, _BYTES_PER_INTERVAL, _BYTES_PER_S = 16 << 20, 4 << 20, 1 << 20
_SAVED_S = 120.0
"""Output that may arrive at once after a network failure."""
_LONG_LINE_BYTES = 64 << 10
_MOST_WORDS = 64 << 10
"""Characters of one process's name and arguments."""
_MOST_STRANGERS = 16
_MOST_ERROR = 500
_MOST_SHOWN = 80


class _Kind(NamedTuple):
    """Kinds of names that a node gives, and how many different ones of each it may give."""

    what: str
    most: int


_GPUS = _Kind("GPUs", 96)  # eight in seven parts each, and themselves
_READERS = _Kind("failing readers", 64)
_REASONS = _Kind("reasons for lower clocks", 64)


class Names:
    """The different names that a node has given so far, over all its connections."""

    def __init__(self) -> None:
        self._known: dict[_Kind, set[str]] = {_GPUS: set(), _READERS: set(), _REASONS: set()}

    def take(self, sample: Sample) -> None:
        """Remember the names in a sample. Raises ConnectError if they are too many."""
        self._add(_READERS, sample.errors or ())
        for gpu in sample.gpus or ():
            self._add(_GPUS, (gpu.uuid,))
            self._add(_REASONS, gpu.clocks_held_by or ())

    def _add(self, kind: _Kind, names: Iterable[str]) -> None:
        known = self._known[kind]
        for name in names:
            if name not in known:
                if len(known) >= kind.most:
                    message = f"it names more than {kind.most} {kind.what}; that cannot be"
                    raise ConnectError(Trouble.PROBE, message)
                known.add(name)


class Intake:
    """The lines of one connection."""

    def __init__(self, interval_s: float, names: Names) -> None:
        """``names`` belong to the node, whichever connection they came through."""
        self._interval_s = interval_s
        self._names = names
        self._reader = LineReader()
        self._began_s = self._at_s = time.monotonic()
        self._lines_left, self._bytes_left = float(_BURST_LINES), float(_BURST_BYTES)
        self._has_read = False
        self._odd = b""
        self._empty_because = ""

    def take(self, data: bytes) -> list[Sample]:
        """Return the readings that are complete by now, without malformed lines.

        Raises ConnectError if the node writes more than a probe does, or no reading in time.
        """
        lines = self._reader.feed(data) if data else []
        self._spend(len(lines), len(data))
        found = []
        for line in lines:
            sample = self._read(line)
            if sample is not None:
                found.append(sample)
        self._has_read = self._has_read or bool(found)
        if self.left_s <= 0:
            raise ConnectError(Trouble.PROBE, self._nothing())
        return found

    @property
    def left_s(self) -> float:
        """Return how long the first reading may still take; infinite once it has arrived."""
        if self._has_read:
            return math.inf
        return self._began_s + FIRST_READING_S - time.monotonic()

    def _spend(self, lines: int, size_bytes: int) -> None:
        now_s = time.monotonic()
        passed_s, self._at_s = now_s - self._at_s, now_s
        lines_per_s = _LINES_PER_S + _LINES_PER_INTERVAL / self._interval_s
        bytes_per_s = _BYTES_PER_S + _BYTES_PER_INTERVAL / self._interval_s
        most_lines = _BURST_LINES + _SAVED_S * lines_per_s
        self._lines_left = min(self._lines_left + passed_s * lines_per_s, most_lines) - lines
        most_bytes = _BURST_BYTES + _SAVED_S * bytes_per_s
        self._bytes_left = min(self._bytes_left + passed_s * bytes_per_s, most_bytes) - size_bytes
        if self._lines_left < 0 or self._bytes_left < 0:
            raise ConnectError(Trouble.PROBE, "it writes much more than a probe does")

    def _read(self, line: bytes) -> Sample | None:
        try:
            sample = from_line(line.decode("utf-8", "replace"))
        except ValueError:
            self._odd = line[: 4 * _MOST_SHOWN]
            return None
        named = chain(sample.processes or (), sample.further or ())
        if len(line) > _LONG_LINE_BYTES and not all(map(_is_short, named)):
            self._odd = b"a process with endless arguments"
            return None
        if len(sample.further or ()) > MOST_PROCESSES:
            self._odd = b"more processes than were asked for"
            return None
        if len(sample.strangers or ()) > _MOST_STRANGERS:
            self._odd = b"too many processes of others"
            return None
        if sample.errors and not self._has_read and _is_empty(sample):
            self._empty_because = "; ".join(sample.errors.values())[:_MOST_ERROR]
            return None
        self._names.take(sample)
        errors = sample.errors
        if errors and any(len(text) > _MOST_ERROR for text in errors.values()):
            errors = {name: text[:_MOST_ERROR] for name, text in errors.items()}
            sample = sample._replace(errors=errors)
        return sample

    def _nothing(self) -> str:
        """Return what arrived instead of readings."""
        start = f"no reading within {FIRST_READING_S:g} s of its greeting"
        if self._empty_because:
            return f"{start}, only errors: {self._empty_because}"
        if self._odd:
            shown = self._odd.decode("utf-8", "replace").strip()[:_MOST_SHOWN]
            return f"{start}; it wrote {shown!r}"
        return start


def _is_empty(sample: Sample) -> bool:
    parts = (sample.node, sample.cgroup, sample.job, sample.processes, sample.gpus)
    return all(part is None for part in parts)


def _is_short(process: Process) -> bool:
    words = sum(map(len, process.argv or ()))
    return words + len(process.name) <= _MOST_WORDS
