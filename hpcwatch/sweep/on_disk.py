"""A sweep as its folder shows it, for those who do not drive it: a job array, or another terminal.

Files that change no more are read twice, so that a sweep of ten thousand tasks can be followed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Sequence

from hpcwatch.sweep import array_state, folders
from hpcwatch.sweep.array_state import State
from hpcwatch.sweep.attempts import STATES, Attempt, Attempts, is_unknown
from hpcwatch.sweep.picture import Picture, Place
from hpcwatch.sweep.plan import Task

_KINDS = (".started", ".ended")


class Follower:
    """Reads what is new in a sweep's folder."""

    def __init__(self, found: folders.Found, tasks: list[Task]) -> None:
        self._found, self._tasks = found, tasks
        self._files = Attempts(found.folder)
        self._known: dict[int, dict[int, Attempt]] = {}
        self._seen: set[str] = set()
        self._open: set[tuple[int, int]] = set()
        """Attempts that are read at each look: their files may still change."""

    def attempts(self) -> dict[int, list[Attempt]]:
        """Return all attempts, by task, the last attempt last."""
        names: set[str] = set()
        with contextlib.suppress(OSError):
            names = set(os.listdir(os.path.join(self._found.folder, STATES)))
        due = self._open.copy()
        for name in names - self._seen:
            stem, kind = os.path.splitext(name)
            task, _, number = stem.partition("-")
            if kind in _KINDS and task.isdecimal() and number.isdecimal():
                due.add((int(task), int(number)))
        for task_number, attempt_number in due:
            self._read(task_number, attempt_number)
        self._seen = names
        return {number: [some[one] for one in sorted(some)] for number, some in self._known.items()}

    def _read(self, task: int, number: int) -> None:
        """Read an attempt, and again at the next look while its file may still be replaced.

        The end is written twice: when the program ends, and with the report's figures.
        """
        one = self._files.attempt(task, number)
        before = self._known.get(task, {}).get(number)
        if one is not None:
            self._known.setdefault(task, {})[number] = one
        if one is not None and one.ended is not None and one == before:
            self._open.discard((task, number))
        else:
            self._open.add((task, number))

    def picture(self, states: Sequence[State] = ()) -> Picture:
        """Return the present picture. ``states`` are the scheduler's answers on its job arrays."""
        known = self.attempts()
        server_now_s = folders.now_s(self._found.folder)
        for state in states:
            some = [one for attempts in known.values() for one in attempts]
            for ended in array_state.explained(state, self._files, some, server_now_s):
                attempts = known[ended.task]
                known[ended.task] = [
                    Attempt(one.started, ended) if one.started.attempt == ended.attempt else one
                    for one in attempts
                ]
        lost = self._lost(known, states, server_now_s)
        running = Counter(
            some[-1].started.host
            for number, some in known.items()
            if some[-1].ended is None and number not in lost
        )
        hosts = dict.fromkeys(one.started.host for some in known.values() for one in some)
        return Picture(
            self._found.plan, self._tasks, [Place(host, running[host]) for host in hosts],
            known, self._found.folder, self._found.plan.made_at_s, time.time(),
            is_over=False, cut_off=lost,
        )  # fmt: skip

    def _lost(
        self, known: dict[int, list[Attempt]], states: Sequence[State], server_now_s: float
    ) -> frozenset[int]:
        """Return the tasks whose last attempt has no end, and will hardly ever have one."""
        active = {
            (state.submission.number, element)
            for state in states
            for element, job in state.elements.items()
            if not job.state.is_over
        }
        unknown = {number: some[-1].started for number, some in known.items() if is_unknown(some)}
        return frozenset(
            number
            for number, started in unknown.items()
            if (started.submission, started.element) not in active
            and array_state.is_quiet(self._files, started, server_now_s)
        )
