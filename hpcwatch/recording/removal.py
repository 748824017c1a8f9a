"""Recordings on disk: their size, whether they are still being written, and their removal."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time

from hpcwatch.base import files, owners
from hpcwatch.base.errors import os_reason
from hpcwatch.recording import lookup
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
_MOST_TRIES = 100
"""Each try comes further than the one before, unless the file system is broken."""
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
    try:
        entries = sorted(os.scandir(directory.path), key=lambda entry: entry.name)
    except FileNotFoundError:
        return None  # it is one file
    except OSError as error:
        return os_reason(error)
    for entry in entries:
        is_ours = _OURS.fullmatch(entry.name) or files.is_left_over(entry.name, _FILES)
        if not is_ours or not entry.is_file(follow_symlinks=False):
            return entry.name
    return None


def remove(directory: RunDirectory) -> None:
    """Remove a run without an obstacle; for a linked one only the link. Raises OSError.

    Another command may remove the same run at the same time: what is gone already is no error.
    """
    path = directory.path.rstrip(os.sep)
    with contextlib.suppress(FileNotFoundError):
        if os.path.islink(path):
            os.unlink(path)
        else:
            remove_folder(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(directory.packed)


def remove_folder(path: str) -> None:
    """Remove a folder of ours with all in it. Raises OSError.

    It is renamed first, in one step: what is removed in part is no longer a run or a sweep.
    """
    parent, name = os.path.split(path)
    doomed = os.path.join(parent, f"{lookup.DOOMED}{name}")
    files.move(path, doomed)
    _remove_tree(doomed)


def finish(parent: str) -> None:
    """Remove what commands that were killed had begun to remove from a folder of ours."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(parent)):
            if entry.name.startswith(lookup.DOOMED) and owners.is_ours(entry.path):
                _remove_tree(entry.path)


def _remove_tree(path: str) -> None:
    """Remove a folder with all in it, also what another process removes from it meanwhile."""
    for _ in range(_MOST_TRIES):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        return
