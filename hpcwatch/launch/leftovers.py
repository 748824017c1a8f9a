"""Removal of what killed monitors left in /tmp: the folders of their programs' events.

A monitor removes its own folder at its end. After a killed monitor the program may go on and still
write there: the folder stays while any process has its file in the environment.
"""

from __future__ import annotations

import os
import stat
import time
from itertools import islice

from hpcwatch.launch.spawn import EVENTS_FILE, EVENTS_FOLDERS, EVENTS_VARIABLE, where_we_run
from hpcwatch.probe.procfs import is_single_file, parse_argv, program_of, read
from hpcwatch.probe.typed import Iterator

_MONITORS = ("hpcwatch", "hpcwatch-python", "task.py")
"""The files and the module that monitors run; the last one starts a sweep's task."""
_MOST_ENTRIES = 10_000
_MOST_REMOVED = 16
_MOST_PROCESSES = 5_000
_AGAIN_S = 3600.0
"""A folder that is in use, or cannot be removed, is left alone for so long: to see its use, every
process of the node is read, and sixteen such folders would keep all others."""


_SET = f"{EVENTS_VARIABLE}=".encode()


def remove() -> None:
    """Remove a few of them, each only if it is ours, private, and its monitor was on this node."""
    here = where_we_run()
    for parent in EVENTS_FOLDERS:
        stale = list(islice(_stale(parent, here), _MOST_REMOVED))
        named = _named_by_processes() if stale else None
        if named is None:
            continue
        for path in stale:
            if os.fsencode(path) in named or not _remove(path):
                _note(path)


def _stale(parent: str, here: str) -> Iterator[str]:
    """Yield the folders whose monitors are gone."""
    try:
        with os.scandir(parent) as entries:
            for entry in islice(entries, _MOST_ENTRIES):
                pid = _monitor(entry.name, here)
                if pid is not None and _is_due(entry) and is_monitor(pid) is False:
                    yield entry.path
    except OSError:
        return


def _monitor(name: str, here: str) -> int | None:
    """Return the monitor's pid from a folder's name; None for another node's monitor."""
    if not name.startswith("hpcwatch-"):
        return None
    _, pid, _, where = (*name.split("-", 3), "", "", "")[:4]
    return int(pid) if where == here and pid.isascii() and pid.isdigit() else None


def _is_due(entry: os.DirEntry[str]) -> bool:
    """Return True for a folder of ours, unless it had to stay a short time ago."""
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return False  # it has just gone
    is_private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    if not is_private or found.st_uid != os.getuid():
        return False
    had_to_stay = found.st_atime > found.st_mtime
    return not (had_to_stay and abs(time.time() - found.st_atime) < _AGAIN_S)


def _note(path: str) -> None:
    """Make the folder's access time later than that of its latest change."""
    try:
        changed_s = os.stat(path, follow_symlinks=False).st_mtime
        os.utime(path, (max(time.time(), changed_s + 1e-3), changed_s), follow_symlinks=False)
    except OSError:
        pass  # it has gone


def is_monitor(pid: int) -> bool | None:
    """Tell whether a process is a monitor; None if its command line is hidden from us.

    What it runs tells: a folder named hpcwatch does not. ``python -c`` may call us, too.
    """
    try:
        argv = parse_argv(read(f"/proc/{pid}/cmdline", 1 << 16))
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return None
    name = os.path.basename(program_of(argv))
    if name in _MONITORS or is_single_file(name):
        return True
    return any(word == "-c" and "hpcwatch." in code for word, code in zip(argv, argv[1:]))


def _named_by_processes() -> set[bytes] | None:
    """Return the folders that our running processes have in their environment.

    None if there are too many processes to read.
    """
    named = set()
    names = list(filter(str.isdigit, os.listdir("/proc")))
    if len(names) > _MOST_PROCESSES:
        return None
    for name in names:
        try:
            with open(f"/proc/{name}/environ", "rb") as stream:
                entries = stream.read(1 << 20).split(b"\0")
        except OSError:
            continue
        for entry in entries:
            if entry.startswith(_SET):
                named.add(os.path.dirname(entry.partition(b"=")[2]))
    return named


def _remove(path: str) -> bool:
    """Remove a folder with its file; False if it stays."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        try:  # noqa: SIM105 - contextlib takes milliseconds to import
            os.unlink(EVENTS_FILE, dir_fd=folder)
        except FileNotFoundError:
            pass  # its program removed it
        os.rmdir(path)
    except OSError:
        return False  # it holds something else, or another hpcwatch was first
    finally:
        os.close(folder)
    return True
