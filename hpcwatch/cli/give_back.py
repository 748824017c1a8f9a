"""The key `g` of `hpcwatch job`: nodes that the job does not use go back, after a question."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from hpcwatch.analysis import advice_surplus
from hpcwatch.analysis.advice_surplus import Surplus
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.base.units import amount, format_seconds
from hpcwatch.cli.asking import is_confirmed
from hpcwatch.cluster import client
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import known
from hpcwatch.cluster.schedulers.dialects import GiveBack
from hpcwatch.cluster.schedulers.hosts import fold_hosts
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import Query
from hpcwatch.monitor.picture import Picture
from hpcwatch.recording.store import Event

Mark = Callable[[Event], None]


class Asked(Exception):  # noqa: N818 - not an error: the user pressed the key
    """Raised to close the view for the question."""


class Giving:
    """Offers nodes of the job in the live view; the view's own keys are taken by nothing else."""

    hints: Sequence[str] = ()
    """What the bottom line says: nothing as long as there is nothing to give back."""
    help: Sequence[tuple[str, str]] = ()

    def __init__(self, user: str, mark: Mark) -> None:
        """``user`` is who we are: only the job's owner may give anything back.

        ``mark`` records what was given back.
        """
        self._user, self._mark = user, mark
        self._job: Job | None = None
        self._surplus = Surplus((), None, None)
        self._is_pressed = False

    def look(self, picture: Picture) -> None:
        """See what could be given back now. Raises Asked if the user pressed the key."""
        job = picture.job
        is_ours = job is not None and job.owner == self._user
        self._job = job
        offered = advice_surplus.surplus(
            job, picture.timeline, picture.at_s, advice_surplus.LEAST_S
        )
        is_able = job is not None and _query(job, offered.hosts) is not None
        self._surplus = offered if is_ours and is_able else Surplus((), None, None)
        count = len(self._surplus.hosts)
        self.hints = (f"g give back {count} node{'s' if count > 1 else ''}",) if count else ()
        if self._is_pressed:
            self._is_pressed = False
            if self._surplus.hosts:
                raise Asked

    def press(self, key: str) -> bool:
        """Take the key where there is something to give back; else it goes to the pages."""
        if key != "g" or not self._surplus.hosts:
            return False
        self._is_pressed = True
        return True

    def ask(self) -> None:
        """Ask on the terminal, and give back what is confirmed."""
        if self._job is not None and offer(self._job, self._surplus):
            self._mark(Event(time.time(), "nodes given back", _fields(self._surplus)))
        print("Press Enter to go on.", flush=True)
        sys.stdin.readline()


def offer(job: Job, unused: Surplus) -> bool:
    """Show the command, ask, and run it; print what came back. True if it was given back."""
    way, query = _way(job), _query(job, unused.hosts)
    if way is None or query is None:
        print(f"{job.scheduler} takes no nodes back from a running job.")
        return False
    hosts = fold_hosts(unused.hosts)
    print(f"No process of job {job.id} runs on {hosts}; none was seen there since you watch it.")
    print(f"  {clean(shlex.join(query.argv))}")
    print(clean(way.NOTE))
    if not is_confirmed(f"Give {'it' if len(unused.hosts) == 1 else 'them'} back?"):
        print("Nothing was given back.")
        return False
    try:
        said = _run(query)
    except HpcwatchError as error:
        print(f"Not given back: {clean(str(error))}")
        return False
    if said:
        print(f"{job.scheduler} says: {clean(' '.join(said.split()))}")
    print(f"Given back: {_count(unused)}.")
    return True


def _fields(given: Surplus) -> dict[str, Any]:
    """Return what was given back as the recording keeps it."""
    hours = given.core_hours
    found = {
        "hosts": fold_hosts(given.hosts),
        "nodes_count": len(given.hosts),
        "cores_count": given.cores_count,
        "core_hours": None if hours is None else round(hours, 3),
    }
    return {name: value for name, value in found.items() if value is not None}


def _run(query: Query[str]) -> str:
    """Run it in a folder of its own: scontrol writes scripts for the shell where it runs."""
    with tempfile.TemporaryDirectory(prefix="hpcwatch-") as folder:
        answer: str = Asker(lambda argv: client.run(argv, folder=folder))(query).value
    return answer


def _count(unused: Surplus) -> str:
    count = len(unused.hosts)
    words = [amount(count, "node")]
    if unused.cores_count is not None:
        words.append(amount(unused.cores_count, "core"))
    if unused.left_s is not None and unused.core_hours is not None:
        hours = amount(unused.core_hours, "core-hour")
        words.append(f"{hours} if the job runs for the {format_seconds(unused.left_s)} left")
    return ", ".join(words)


def _way(job: Job) -> GiveBack | None:
    dialect = known(job.scheduler)
    return dialect.give_back if dialect is not None else None


def _query(job: Job, given: Sequence[str]) -> Query[str] | None:
    """Return what would give the nodes back; None if it cannot be expressed for these names."""
    way = _way(job)
    try:
        return way.query(job, given) if way is not None and given else None
    except HpcwatchError:  # a name that must not reach a command line
        return None
