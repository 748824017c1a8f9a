"""Recordings on disk: their size, whether they are still being written, and their removal."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time

from hpcwatch.base import files
from hpcwatch.base.errors import os_reason
from hpcwatch.recording.store import (
    EVENTS_FILE,
    REPORT_FILE,
    RUN_FILE,
    SAMPLES_FILE,
    Run,
    RunDirectory,
    root,
)

_FILES = (SAMPLES_FILE, EVENTS_FILE, REPORT_FILE, RUN_FILE)
_OURS = re.compile(
    "|".join(rf"\.?{re.escape(name)}(\.\d+)?" for name in _FILES)  # temporary files have a number
)
_FRESH_S = 300.0
"""A recording of another host without a write for this long is no longer being written."""


def is_monitored(run: Run) -> bool | None:
    """Return whether a run's monitor still lives; None if this host cannot see that."""
    if os.uname().nodename != (run.monitor_host or ",".join(run.hosts)):
        return None
    from hpcwatch.launch.leftovers import is_monitor

    return is_monitor(run.monitor_pid)


def last_written_s(directory: RunDirectory, run: Run) -> float:
    """Return the time of a recording's last known write, in s since the epoch."""
    written = [run.started_at_s, run.ended_at_s or 0.0]
    if run.ended_at_s is None:
        with contextlib.suppress(OSError):
            written.append(os.stat(directory.file(SAMPLES_FILE)).st_mtime)
    return max(written)


def size_bytes(directory: RunDirectory) -> int:
    """Return the size of a recording's files in bytes, also of a linked one."""
    total = 0
    with contextlib.suppress(OSError):
        total += os.stat(directory.packed).st_size
    with contextlib.suppress(OSError):
        for entry in os.scandir(directory.path):
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def is_link(directory: RunDirectory) -> bool:
    """Return True if a run lies elsewhere (--output) and the store only links to it."""
    return os.path.islink(directory.place.rstrip(os.sep))


def obstacle(directory: RunDirectory, run: Run) -> str | None:
    """Return why a run must not be removed; None if it may be."""
    folder = os.path.dirname(os.path.abspath(directory.path))
    if os.path.realpath(folder) != os.path.realpath(root()):
        return f"it does not lie in {root()}: remove it yourself"
    if is_being_made(directory, run):
        return "it is still being recorded"
    if is_link(directory):
        return None
    foreign = _foreign(directory)
    return f"it holds a file that is not hpcwatch's: {foreign}" if foreign else None


def is_being_made(directory: RunDirectory, run: Run) -> bool:
    """Return True if a recording is still being written, as far as this host can see."""
    if run.ended_at_s is not None:
        return False
    lives = is_monitored(run)
    if lives is None:  # unknown here: a recording that grows is being written
        silent_s = time.time() - last_written_s(directory, run)
        return -_FRESH_S < silent_s < max(_FRESH_S, 3 * run.interval_s)
    return lives


def _foreign(directory: RunDirectory) -> str | None:
    """Return the name of a file that hpcwatch did not create; None if there is none."""
    if not os.path.lexists(directory.path):
        return None  # it is one file
    try:
        entries = sorted(os.scandir(directory.path), key=lambda entry: entry.name)
    except OSError as error:
        return os_reason(error)
    for entry in entries:
        is_ours = _OURS.fullmatch(entry.name) or files.is_left_over(entry.name, _FILES)
        if not is_ours or not entry.is_file(follow_symlinks=False):
            return entry.name
    return None


def remove(directory: RunDirectory) -> None:
    """Remove a run without an obstacle; for a linked one only the link. Raises OSError."""
    path = directory.path.rstrip(os.sep)
    if os.path.islink(path):
        os.unlink(path)
    elif os.path.lexists(path):
        shutil.rmtree(path)
    if os.path.lexists(directory.packed):
        os.unlink(directory.packed)
