"""Finds and follows, from outside, the recordings that `hpcwatch run` makes inside a job.

They grow in a folder that the job's nodes and this host share, often on a network file system: a
look opens few files and reads only what is new. Their content is foreign text.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from hpcwatch.analysis.phases import MONITORS
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.base.reading import Growing
from hpcwatch.events import LINE_MOST_BYTES
from hpcwatch.monitor.recent_events import Told
from hpcwatch.recording.lookup import whole_names
from hpcwatch.recording.removal import is_being_made
from hpcwatch.recording.store import EVENTS_FILE, Event, Run, RunDirectory, event_from, root

_KINDS = ("run", "sweep-task")
_READ_A_LOOK = 300  # run.json of this many recordings: a second on a slow network file system
_TRIES = 12  # a folder may exist before its run.json: retried for 12 looks
_DAY_S = 86400.0
_EARLY_S = 60.0  # clocks of nodes may differ by this much
_MOST_BYTES = 16 << 20  # only the end of a longer file is read
_LINE_BYTES = 8 * LINE_MOST_BYTES  # a 2-byte character is \uXXXX in a recording
_EVENTS_MOST = 30_000


class Inner(NamedTuple):
    """A recording made inside the job."""

    directory: RunDirectory
    run: Run
    is_going: bool
    """False once its monitor has ended, in any way."""


class InnerRuns:
    """Finds the recordings of a job among all of ours; each recording is checked once."""

    def __init__(self, names: Collection[str], since_s: float | None) -> None:
        """``names`` holds the job's ids on its nodes, ``since_s`` its start since the epoch."""
        self._names = frozenset(names)
        self._since_s = since_s
        self._tries: dict[str, int] = {}
        """Path -> how often its run.json was missing."""
        self._others: set[str] = set()
        """Paths of recordings of other jobs."""
        self._ours: dict[str, Run] = {}

    def look(self) -> list[Inner]:
        """Return the job's recordings by their start, the latest last."""
        left = _READ_A_LOOK
        for folder, names in self._folders():
            for name in sorted(names, key=_natural, reverse=True):
                path = os.path.join(folder, name)
                if path in self._ours or path in self._others:
                    continue
                left -= 1
                if left < 0:
                    break
                self._read_new(path)
        found = [self._now(path) for path in self._ours]
        return sorted(found, key=lambda one: one.run.started_at_s)

    def _now(self, path: str) -> Inner:
        """Return the current state of a recording; a deleted one keeps its last state."""
        directory = RunDirectory(path)
        if self._ours[path].ended_at_s is None:
            with contextlib.suppress(HpcwatchError):
                self._ours[path] = directory.read_run()
        run = self._ours[path]
        return Inner(directory, run, is_being_made(directory, run))

    def _folders(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each folder of recordings, with the names in it that may belong to the job."""
        runs = root()
        earliest = ""
        if self._since_s is not None:  # a name begins with the start in some time zone's local time
            earliest = time.strftime("%Y%m%d-%H%M%S", time.localtime(self._since_s - _DAY_S))
        yield runs, [name for name in _names_in(runs) if name >= earliest]
        sweeps = os.path.join(os.path.dirname(runs), "sweeps")
        for name in _names_in(sweeps):
            tasks = os.path.join(sweeps, name, "runs")
            with contextlib.suppress(OSError):
                if os.stat(tasks).st_mtime >= (self._since_s or 0.0) - _DAY_S:
                    yield tasks, _names_in(tasks)

    def _read_new(self, path: str) -> None:
        try:
            run = RunDirectory(path).read_run()
        except HpcwatchError:
            self._tries[path] = self._tries.get(path, 0) + 1
            if self._tries[path] >= _TRIES:
                self._others.add(path)
            return
        self._tries.pop(path, None)
        if self._is_ours(run):
            self._ours[path] = run
        else:
            self._others.add(path)

    def _is_ours(self, run: Run) -> bool:
        """Return True for a run of the job; another cluster's job of that id started earlier."""
        job = run.job
        is_late = self._since_s is None or run.started_at_s >= self._since_s - _EARLY_S
        is_called = job is not None and any(job.is_called(name) for name in self._names)
        return run.kind in _KINDS and is_late and is_called


def _names_in(folder: str) -> list[str]:
    try:
        return whole_names(os.listdir(folder))
    except OSError:
        return []


def _natural(name: str) -> tuple[int, ...] | tuple[()]:
    """Return the numbers in a name: a run's start, or a sweep task's number."""
    return tuple(int(digits[:18]) for digits in re.findall(r"\d+", name, re.ASCII))


class EventLog:
    """A recording's events.jsonl, read as it grows."""

    def __init__(self, path: str, instead: str | None = None) -> None:
        """``instead`` is the file that the recording becomes at its end."""
        self._file = Growing(
            path, line_bytes=_LINE_BYTES, behind_bytes=_MOST_BYTES, instead=instead
        )

    def read(self) -> tuple[list[Event], bool]:
        """Return the new events since the last call, and whether the file was replaced.

        Raises OSError.
        """
        found = self._file.look()
        read = (event_from(line) for line in found.lines)
        return [event for event in read if event is not None], found.is_another


class Followed:
    """The events of one recording's program so far."""

    def __init__(self, inner: Inner) -> None:
        self.inner = inner
        directory = inner.directory
        self._log = EventLog(directory.file(EVENTS_FILE), directory.packed)
        self.told = Told()
        self.events: list[Event] = []
        """The events for a report: a bounded number of the first ones."""

    def read(self) -> None:
        """Read the new events. An unreadable or deleted file changes nothing."""
        try:
            events, is_new = self._log.read()
        except OSError:
            return
        if is_new:
            self.told, self.events = Told(), []
        for event in events:
            if event.name not in MONITORS:  # events of its monitor are not the program's
                self.told.add(event)
                if len(self.events) < _EVENTS_MOST:
                    self.events.append(event)


class Following:
    """Follows the newest running recording of a job; if none runs, the newest with events."""

    def __init__(self, runs: InnerRuns) -> None:
        self._runs = runs
        self._found: Sequence[Inner] = ()
        self._silent: set[str] = set()
        """Paths of finished recordings without events."""
        self.followed: Followed | None = None

    @property
    def going_count(self) -> int:
        """The number of the job's running recordings."""
        return sum(one.is_going for one in self._found)

    def find(self) -> None:
        """Find the recordings and choose the one to follow."""
        self._found = self._runs.look()
        self.followed = self._choose()

    def read(self) -> None:
        """Read the program's new events."""
        if self.followed is not None:
            self.followed.read()

    def _choose(self) -> Followed | None:
        for one in reversed(self._found):
            if one.is_going:
                return self._following(one)
        for one in reversed(self._found):
            if one.directory.path not in self._silent:
                followed = self._following(one)
                if followed.events:
                    return followed
                self._silent.add(one.directory.path)
        return None

    def _following(self, inner: Inner) -> Followed:
        """Return a recording's events up to now."""
        followed = self.followed
        if followed is None or followed.inner.directory.path != inner.directory.path:
            followed = Followed(inner)
        followed.inner = inner
        followed.read()
        return followed
