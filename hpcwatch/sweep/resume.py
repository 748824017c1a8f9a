"""Resumes an interrupted sweep: ends what a dead driver left running, and undoes failed tasks."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

from hpcwatch.sweep import engine, hosts, lease, slots
from hpcwatch.sweep.attempts import Attempts, Ended, Started, is_done, is_unknown

_LOOK_S = 0.5


class Silent(NamedTuple):
    """A host that could not be queried for running tasks, and why."""

    host: str
    tasks: list[int]
    trouble: str


def end_orphans(folder: str, known: Mapping[str, slots.Host]) -> list[Silent]:
    """End the attempts that still run although their driver is gone; wait for their end.

    Returns the hosts that could not be queried. Raises HpcwatchError.
    """
    left: dict[str, list[Started]] = {}
    for some in Attempts(folder).all().values():
        for one in some:
            if one.ended is None:
                left.setdefault(one.started.host, []).append(one.started)
    logins = {host.name: login for login, host in known.items()}
    here = os.uname().nodename
    silent = []
    for host, attempts in left.items():
        words = ["--end", *(f"{one.task}:{one.attempt}" for one in attempts)]
        if host == here:
            subprocess.run(engine.task_argv(folder, *words), check=False)
            continue
        login = logins.get(host, host)
        lines, trouble = hosts.on_each(folder, [login], *words).get(login, ([], ""))
        if trouble and not lines:
            silent.append(Silent(host, [one.task for one in attempts], trouble))
    return silent


def begin_unknown_anew(folder: str, lease_s: float, silent: Collection[str]) -> None:
    """Mark started tasks with an unknown end as not done.

    For an attempt on a ``silent`` host this waits until its lease has expired: by then its monitor
    has ended it, if it sees the file system or the sweep has retries. Raises OSError.
    """
    attempts = Attempts(folder)
    for some in attempts.all().values():
        if is_unknown(some):
            started = some[-1].started
            if started.host in silent:
                while lease.age_s(attempts, started) < lease_s:
                    time.sleep(_LOOK_S)
            if attempts.ended(started.task, started.attempt) is None:
                attempts.end(
                    Ended(
                        started.task, started.attempt, started.at_s, 0.0, None, None,
                        is_stopped=True, trouble="how it ended is unknown",
                    )
                )  # fmt: skip


def forget_failures(folder: str) -> int:
    """Mark failed tasks as not done, so that they run again; return how many."""
    attempts = Attempts(folder)
    count = 0
    for some in attempts.all().values():
        last = some[-1] if some else None
        if last is None or last.ended is None or not is_done(some) or last.ended.is_good:
            continue
        attempts.end(last.ended._replace(is_stopped=True))
        count += 1
    return count
