"""Text files of monitors that were killed: Prometheus would show their last numbers for ever.

Each text file begins with a comment that says who writes it. Whoever writes the next one into the
same folder removes those of this user whose writer was on this node and is gone.
"""

from __future__ import annotations

import os
import time
from itertools import islice

from hpcwatch.base import reading
from hpcwatch.base.files import discard
from hpcwatch.launch.leftovers import is_monitor
from hpcwatch.launch.spawn import where_we_run

_MARK = "# hpcwatch writer: "
_MOST_ENTRIES = 10_000
_LONGEST_MARK = 200
_LEAST_MISSED_S, _MISSED_ROUNDS = 60.0, 4.0
"""A file that was written more lately than this is left alone, whatever its writer looks like."""


def mark(every_s: float) -> str:
    """Return the line that names us as the writer, every so many seconds."""
    return f"{_MARK}{where_we_run()} {os.getpid()} {every_s:g}\n"


def remove_beside(path: str) -> None:
    """Remove such files from the folder of a text file that we write."""
    own = os.path.realpath(path)
    try:
        with os.scandir(os.path.dirname(own)) as entries:
            found = [one.path for one in islice(entries, _MOST_ENTRIES)]
    except OSError:
        return  # writing will tell why
    for one in found:
        if one.endswith(".prom") and one != own and _is_left_over(one):
            discard(one)


def _is_left_over(path: str) -> bool:
    """True if we own a file whose writer is gone, and which is not being written."""
    if os.path.islink(path):
        return False
    try:
        with reading.opened(path) as stream:
            found = os.fstat(stream.fileno())
            line = stream.readline(_LONGEST_MARK) if found.st_uid == os.getuid() else b""
    except OSError:
        return False  # it has just gone, or is not ours to read
    where, pid, every_s = _writer(line.decode("utf-8", "replace"))
    if where != where_we_run() or pid == os.getpid() or is_monitor(pid) is not False:
        return False
    return time.time() - found.st_mtime > max(_LEAST_MISSED_S, _MISSED_ROUNDS * every_s)


def _writer(line: str) -> tuple[str, int, float]:
    """Return where and as which process a file's writer ran; nowhere if that is not said."""
    words = line.removeprefix(_MARK).split()
    try:
        where, pid, every_s = words if line.startswith(_MARK) else ("", "0", "0")
        return where, int(pid), float(every_s)
    except ValueError:
        return "", 0, 0.0
