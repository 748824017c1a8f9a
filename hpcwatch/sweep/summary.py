"""The summary of a sweep in one file, so that lists need not read thousands of tasks' files.

It is written when a sweep ends, and by any reader that finds no valid one. It is valid as long as
the folder of the tasks' states has not changed, by its modification time: both times are the file
server's.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import NamedTuple

from hpcwatch.base import files, owners, reading
from hpcwatch.probe.decode import build
from hpcwatch.sweep.attempts import STATES, Attempt, is_done, verdict

SUMMARY_FILE = "summary.json"
_VERSION = 1
_COARSE_S = 2.0
"""The coarsest time resolution of a file server: 2 s for FAT, 1 s for ext3."""


class Summary(NamedTuple):
    """Counts of a sweep's tasks. Times are seconds since the epoch."""

    states_at_ns: int
    """The modification time of the folder of states, taken before they were read."""
    open_count: int
    """Attempts without an end: it may come after the driver has gone."""
    started_at_s: float | None
    last_at_s: float | None
    good_count: int
    failed_count: int
    cpu_s: float | None
    size_bytes: int
    is_tidy: bool = True
    """False while empty outputs of its job arrays may be left, to be removed later."""
    version: int = _VERSION


def of_attempts(attempts: dict[int, list[Attempt]], states_at_ns: int, size_bytes: int) -> Summary:
    """Count a sweep's attempts."""
    known = [one for some in attempts.values() for one in some]
    ended = [one.ended for one in known if one.ended is not None]
    starts_s = [one.started.at_s for one in known]
    counting = [verdict(some) for some in attempts.values() if is_done(some)]
    ends = [one.ended for one in counting if one is not None and one.ended is not None]
    good_count = sum(one.is_good for one in ends)
    cpu_s = [one.cpu_s for one in ended if one.cpu_s is not None]
    return Summary(
        states_at_ns=states_at_ns,
        open_count=len(known) - len(ended),
        started_at_s=min(starts_s, default=None),
        last_at_s=max([one.at_s for one in ended] + starts_s, default=None),
        good_count=good_count,
        failed_count=len(ends) - good_count,
        cpu_s=sum(cpu_s) if cpu_s else None,
        size_bytes=size_bytes,
    )


def states_at_ns(folder: str) -> int:
    """Return the time of the last written state in ns; 0 if there is none yet."""
    try:
        return os.stat(os.path.join(folder, STATES)).st_mtime_ns
    except OSError:
        return 0


def read(folder: str) -> Summary | None:
    """Return a sweep's valid summary; None if its tasks' files must be read."""
    try:
        path = os.path.join(folder, SUMMARY_FILE)
        written_at_ns = os.stat(path).st_mtime_ns
        found: Summary = build(Summary, reading.plain(path))
    except (OSError, ValueError, TypeError):
        return None
    is_settled = written_at_ns - found.states_at_ns > 1e9 * _COARSE_S
    is_whole = found.version == _VERSION and found.states_at_ns == states_at_ns(folder)
    return found if is_whole and (is_settled or not found.open_count) else None


def write(folder: str, summary: Summary) -> None:
    """Write it, best effort: it only saves time. Another user's folder is not changed."""
    if not owners.is_ours(folder):
        return
    with contextlib.suppress(OSError):
        files.replace(os.path.join(folder, SUMMARY_FILE), json.dumps(summary._asdict()))


def size_bytes(folder: str) -> int:
    """Return the size in bytes of all files in and below a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
