"""The state of each task, on disk: one file per attempt, made at its start, replaced at its end.

These files are the authoritative state of a sweep. The tasks write them themselves, each by one
process only, so that the death of the driver or of GNU parallel loses nothing. A start is a claim:
the file is created exclusively, and its name stays, so that no attempt is ever claimed twice. At
the end it is replaced, in one step, by a file that holds the start and the end. Versions before
wrote the end into a file of its own, ``N-K.ended``: such sweeps still load.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from hpcwatch.base import files, reading
from hpcwatch.probe.decode import build

STATES, OUTPUTS, RUNS = "states", "outputs", "runs"
_STARTED, _ENDED = ".started", ".ended"
_END = "ended"
"""The key of the end in an attempt's file."""


class Started(NamedTuple):
    """An attempt that was started on a host."""

    task: int
    attempt: int
    host: str
    pid: int
    pid_started_ticks: int
    """Distinguishes this process from a later one with the same pid."""
    at_s: float
    slot: int
    device: str | None = None
    """The value of CUDA_VISIBLE_DEVICES, where each task gets its own GPU."""
    submission: int | None = None
    """Under a job array: which of the sweep's submissions; None under GNU parallel."""
    element: int | None = None
    """The number of the array's element that ran it."""


class Ended(NamedTuple):
    """How an attempt ended, and its use."""

    task: int
    attempt: int
    at_s: float
    wall_s: float
    exit_code: int | None
    signal: int | None
    is_stopped: bool = False
    """The sweep was ended and stopped the task: it is still to be done."""
    is_timed_out: bool = False
    trouble: str = ""
    """Why it could not be started, in words."""
    is_silent: bool = False
    """It wrote nothing: its output is not kept."""
    cpu_s: float | None = None
    memory_peak_bytes: int | None = None
    gpu_util_mean_pct: float | None = None
    gpu_memory_peak_bytes: int | None = None
    read_bytes: int | None = None
    results: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    """Name -> number or text, as the program reported it."""

    @property
    def is_final(self) -> bool:
        """True if it ended by itself."""
        return not self.is_stopped

    @property
    def is_good(self) -> bool:
        """True if it ended with exit code 0."""
        return self.exit_code == 0 and not self.is_stopped and not self.is_timed_out


class Attempt(NamedTuple):
    """A start and, if there is one, its end."""

    started: Started
    ended: Ended | None


class Attempts:
    """The attempts of a sweep's tasks, in the sweep's folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folders. Raises OSError."""
        for name in (STATES, OUTPUTS, RUNS):
            files.make_private(os.path.join(self.folder, name))

    def state_file(self, task: int, attempt: int) -> str:
        """Return the path of an attempt's file. The age of its latest change is a lease."""
        return os.path.join(self.folder, STATES, f"{task}-{attempt}{_STARTED}")

    def _older_end_file(self, task: int, attempt: int) -> str:
        return os.path.join(self.folder, STATES, f"{task}-{attempt}{_ENDED}")

    def output_file(self, task: int, attempt: int) -> str:
        """Return the path of the program's output."""
        return os.path.join(self.folder, OUTPUTS, f"{task}-{attempt}.txt")

    def run_folder(self, task: int, attempt: int) -> str:
        """Return the path of the recording."""
        return os.path.join(self.folder, RUNS, f"{task}-{attempt}")

    def is_recorded(self, task: int, attempt: int) -> bool:
        """Return whether there is a recording: a folder, or the file that it became at its end."""
        folder = self.run_folder(task, attempt)
        return os.path.isdir(folder) or os.path.exists(f"{folder}.hpcwatch")

    def claim(self, started: Started) -> bool:
        """Mark an attempt as started; False if another process has claimed it. Raises OSError."""
        path = self.state_file(started.task, started.attempt)
        return files.claim(path, json.dumps(started._asdict()))

    def end(self, ended: Ended) -> None:
        """Mark an attempt as ended. Raises OSError."""
        path = self.state_file(ended.task, ended.attempt)
        try:
            start = reading.plain(path)
            build(Started, start)
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # somebody's hand was in it
            older = self._older_end_file(ended.task, ended.attempt)
            files.replace(older, json.dumps(ended._asdict()))
        else:
            files.replace(path, json.dumps({**start, _END: ended._asdict()}))

    def started(self, task: int, attempt: int) -> Started | None:
        """Read a start; return None if it is missing or unreadable."""
        found = self.attempt(task, attempt)
        return None if found is None else found.started

    def ended(self, task: int, attempt: int) -> Ended | None:
        """Read an end; return None if it is missing or unreadable."""
        found = self.attempt(task, attempt)
        return self._older_end(task, attempt) if found is None else found.ended

    def _older_end(self, task: int, attempt: int) -> Ended | None:
        found: Ended | None = _built(Ended, _plain(self._older_end_file(task, attempt)))
        return found

    def left_here(self, marks: Sequence[str]) -> dict[int, int]:
        """Return the monitors of the attempts (such as ``7:1``) that started on this host.

        Their pids, with their starting times in clock ticks.
        """
        found = {}
        for mark in marks:
            task, _, attempt = mark.partition(":")
            started = self.started(int(task), int(attempt))
            if started is not None and started.host == os.uname().nodename:
                found[started.pid] = started.pid_started_ticks
        return found

    def attempt(self, task: int, attempt: int) -> Attempt | None:
        """Read an attempt; return None if its start is missing or unreadable."""
        plain = _plain(self.state_file(task, attempt))
        started: Started | None = _built(Started, plain)
        if started is None:
            return None
        if _END in plain:
            return Attempt(started, _built(Ended, plain[_END]))
        return Attempt(started, self._older_end(task, attempt))

    def is_silent(self, task: int, attempt: int) -> bool:
        """Return True if an attempt has no output, or an empty one."""
        try:
            return os.stat(self.output_file(task, attempt)).st_size == 0
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def of(self, task: int) -> list[Attempt]:
        """Read the attempts of one task."""
        found: list[Attempt] = []
        while (one := self.attempt(task, len(found) + 1)) is not None:
            found.append(one)
        return found

    def all(self) -> dict[int, list[Attempt]]:
        """Read every attempt, by task, the last attempt last."""
        found: dict[int, list[int]] = {}
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(os.path.join(self.folder, STATES)):
                task, _, attempt = name.removesuffix(_STARTED).partition("-")
                if name.endswith(_STARTED) and task.isdecimal() and attempt.isdecimal():
                    found.setdefault(int(task), []).append(int(attempt))
        read = {
            task: [self.attempt(task, number) for number in sorted(numbers)]
            for task, numbers in found.items()
        }
        whole = {task: [one for one in some if one is not None] for task, some in read.items()}
        return {task: some for task, some in whole.items() if some}


def verdict(attempts: list[Attempt]) -> Attempt | None:
    """Return the attempt that counts: a successful one, else the last one."""
    good = [one for one in attempts if one.ended is not None and one.ended.is_good]
    return good[0] if good else attempts[-1] if attempts else None


def is_done(attempts: list[Attempt]) -> bool:
    """Return True if a task ended by itself, successfully or not."""
    last = verdict(attempts)
    return last is not None and last.ended is not None and last.ended.is_final


def is_unknown(attempts: list[Attempt]) -> bool:
    """Return True if a task was started and it is unknown whether or how it ended."""
    last = verdict(attempts)
    return last is not None and last.ended is None


def _plain(path: str) -> Any:
    """Return what is in a file, parsed; None if it is missing or unreadable."""
    try:
        return reading.plain(path)
    except (OSError, ValueError):
        return None


def _built(record: Any, plain: Any) -> Any:
    """Return the record; None if that is not what ``plain`` holds."""
    try:
        return build(record, plain)
    except (ValueError, TypeError, KeyError):
        return None
