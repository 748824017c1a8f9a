"""``[storage] keep = "90d"``: recordings of that age are removed when a run ends."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hpcwatch import config
from hpcwatch.base import config_files, files, owners
from hpcwatch.base.units import format_bytes, parse_age
from hpcwatch.recording.store import root

if TYPE_CHECKING:
    from hpcwatch.recording.search import Found
    from hpcwatch.sweep.recorded import Sweep

_STAMP = "tidied"
"""A file in the folder of recordings; its time is the time of the last clean-up."""
_EVERY_S = 3600.0  # otherwise each of thousands of runs a day would search thousands of recordings


def tidy(say: Callable[[str], None]) -> None:
    """Remove recordings older than the configured age, at most once an hour, and report it.

    Runs in progress, runs written elsewhere (--output), and folders that hold another user's files
    stay. Raises HpcwatchError or OSError.
    """
    if not config_files.paths() and "HPCWATCH_STORAGE_KEEP" not in os.environ:
        return
    keep = config.load_or_default().keep
    age_s = parse_age(keep) if keep is not None else None
    if age_s is None or not _is_due():
        return
    removed, freed_bytes = _remove(age_s)
    if removed:
        say(f"removed {removed} older than {keep} (storage.keep), {format_bytes(freed_bytes)}")


def _is_due() -> bool:
    home = os.path.dirname(root())
    path = os.path.join(home, _STAMP)
    try:
        # The file server's clock may be ahead of ours.
        if abs(time.time() - os.stat(path).st_mtime) < _EVERY_S:
            return False
    except FileNotFoundError:
        pass
    if not owners.is_ours(home):
        return False
    files.replace(path, "")  # before the work: other runs may end at the same moment
    return True


def _remove(age_s: float) -> tuple[str, int]:
    """Remove them; return what was removed, in words, and how many bytes were freed."""
    from hpcwatch.recording.removal import finish, obstacle, remove
    from hpcwatch.recording.search import all_runs, older_than
    from hpcwatch.sweep import folders, recorded
    from hpcwatch.views.jobs.runs_table import counted

    gone: list[Found | Sweep] = []
    freed_bytes = 0
    for run in older_than(all_runs(), age_s):
        if not run.is_link and obstacle(run.directory, run.run) is None:
            size_bytes = run.size_bytes
            with contextlib.suppress(OSError):  # it stays; `runs --delete` says why
                remove(run.directory)
                freed_bytes += size_bytes
                gone.append(run)
    for sweep in older_than(recorded.every(), age_s):
        if sweep.obstacle() is None:
            with contextlib.suppress(OSError):
                sweep.remove()
                freed_bytes += sweep.size_bytes
                gone.append(sweep)
    for folder in (root(), folders.root()):
        finish(folder)
    return (counted(gone) if gone else ""), freed_bytes
