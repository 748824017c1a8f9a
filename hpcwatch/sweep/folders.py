"""The folders of sweeps, next to the runs' folders, and the driver of a sweep."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.base import files, owners, reading
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.recording import lookup, store
from hpcwatch.sweep import array, ending, plan

DRIVER_FILE = "driver.json"
_BEAT_S = 5.0
_DEAD_S = 30.0


class Found(NamedTuple):
    """A sweep on disk."""

    folder: str
    plan: plan.Plan


def root() -> str:
    """Return the folder of all sweeps."""
    return os.path.join(os.path.dirname(store.root()), "sweeps")


def create(sweep_id: str) -> str:
    """Make a sweep's folder. Raises HpcwatchError."""
    path = os.path.join(root(), sweep_id)
    try:
        files.make_new(path)
    except OSError as error:
        raise HpcwatchError(f"cannot make {path}", os_reason(error)) from None
    return path


def latest(name: str | None) -> Found:
    """Return the latest sweep, or the latest of a name or id, to resume it.

    Its commands are run, so it must belong to this user alone, as OpenSSH requires for its
    configuration. Raises HpcwatchError.
    """
    refused: list[str] = []
    for found in reversed(every(refused.append)):
        if name is None or name in (found.plan.name, found.plan.id):
            files_of_it = (plan.PLAN_FILE, plan.TASKS_FILE, array.ARRAYS)
            inside = [os.path.join(found.folder, one) for one in files_of_it]
            owners.require(root(), found.folder, *inside)
            return found
    what = f"no sweep called {name}" if name else "no sweep"
    hint = refused[0] if refused else "start one without --resume"
    raise HpcwatchError(f"{what} in {root()}", hint, EXIT_USAGE)


def every(say: lookup.Say | None = None) -> list[Found]:
    """Return all readable sweeps, the latest last; ``say`` takes a line for each other one.

    Those that another user put there are left out.
    """
    paths: list[str] = []
    with contextlib.suppress(OSError):
        paths = [one.path for one in os.scandir(root()) if not one.name.startswith(lookup.DOOMED)]
    keeper = owners.owner_of(root())
    found = []
    for path in paths:
        try:
            owners.require(path, trusted=keeper)
            found.append(Found(path, plan.read(path)))
        except HpcwatchError as error:
            if say is not None and os.path.lexists(os.path.join(path, plan.PLAN_FILE)):
                say(str(error))
    return sorted(found, key=lambda one: one.plan.made_at_s)


@contextlib.contextmanager
def driving(folder: str) -> Iterator[None]:
    """Become the driver of a sweep. Raises HpcwatchError if it has a driver already.

    A driver on another host is detected by the file's time, which a living driver renews.
    """
    path = os.path.join(folder, DRIVER_FILE)
    driver = driver_of(folder)
    if driver is not None:
        hint = "wait for its end, or end it there"
        raise HpcwatchError(f"this sweep is running on {driver}", hint, EXIT_USAGE)
    own = {"host": os.uname().nodename, "pid": os.getpid()}
    try:
        files.replace(path, json.dumps({**own, "ticks": ending.started_ticks(os.getpid())}))
    except OSError as error:
        raise HpcwatchError(f"cannot write {path}", os_reason(error)) from None
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(_BEAT_S):
            with contextlib.suppress(OSError):
                os.utime(path)

    threading.Thread(target=beat, name="hpcwatch-beat", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
        with contextlib.suppress(OSError):
            os.unlink(path)


def driver_of(folder: str) -> str | None:
    """Return the driver of a sweep as ``HOST, process PID``; None if it has none."""
    path = os.path.join(folder, DRIVER_FILE)
    try:
        other = reading.plain(path)
        touched_s = os.stat(path).st_mtime
    except (OSError, ValueError):
        return None  # missing or torn: its writer is dead
    if not isinstance(other, dict):
        return None
    host, pid = str(other.get("host")), other.get("pid")
    if host == os.uname().nodename:
        is_alive = isinstance(pid, int) and ending.started_ticks(pid) == other.get("ticks")
    else:
        is_alive = now_s(folder) - touched_s < _DEAD_S
    return f"{host}, process {pid}" if is_alive else None


def now_s(folder: str) -> float:
    """Return the time of the folder's file server; in another user's folder our own time."""
    if owners.is_ours(folder):
        with contextlib.suppress(OSError):
            return files.server_now_s(folder)
    return time.time()
