"""Goes on with a sweep that was interrupted: ends what a dead driver left, says what differs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from hpcwatch.sweep import engine, hosts, slots
from hpcwatch.sweep.attempts import Attempts, Started, is_done


def end_orphans(folder: str, known: Mapping[str, slots.Host]) -> list[str]:
    """End the attempts that still run although their driver is gone; wait for their end.

    Returns a line for each host that could not be asked. Raises HpcwatchError.
    """
    left: dict[str, list[Started]] = {}
    for some in Attempts(folder).all().values():
        for one in some:
            if one.ended is None:
                left.setdefault(one.started.host, []).append(one.started)
    logins = {host.name: login for login, host in known.items()}
    here = os.uname().nodename
    troubles = []
    for host, attempts in left.items():
        words = ["--end", *(f"{one.task}:{one.attempt}" for one in attempts)]
        if host == here:
            subprocess.run(engine.task_argv(folder, *words), check=False)
            continue
        login = logins.get(host, host)
        lines, trouble = hosts.on_each(folder, [login], *words).get(login, ([], ""))
        if trouble and not lines:
            tasks = ", ".join(str(one.task) for one in attempts)
            troubles.append(f"cannot ask {host} whether task {tasks} still runs there: {trouble}")
    return troubles


def forget_failures(folder: str) -> int:
    """Make tasks that failed undone, so that they run again; return how many."""
    attempts = Attempts(folder)
    count = 0
    for some in attempts.all().values():
        last = some[-1] if some else None
        if last is None or last.ended is None or not is_done(some) or last.ended.is_good:
            continue
        attempts.end(last.ended._replace(is_stopped=True))
        count += 1
    return count
