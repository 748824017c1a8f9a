"""Drives a sweep from its first task to its last: rounds of GNU parallel, failing hosts, the end.

A round is one run of GNU parallel. Tasks that it could not start, because a host died, go into
another round on the remaining hosts.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable, Mapping

from hpcwatch.base import reading
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.sweep import engine, joblog, slots
from hpcwatch.sweep.attempts import Attempt, Attempts, is_done, is_unknown, verdict
from hpcwatch.sweep.picture import Picture, Place
from hpcwatch.sweep.plan import Plan, Task

TICK_S = 0.25
END_S = 9.0
"""Within 10 s of a signal all tasks have ended; the remaining time is for reporting it."""
_STRIKES = 3
"""The most failed starts in a row: a host that fails at once would otherwise use up all tasks."""


class Driver:
    """One sweep being run. Not thread-safe; ``stop`` may be called from a signal handler."""

    def __init__(
        self,
        folder: str,
        plan: Plan,
        tasks: list[Task],
        hosts: Mapping[str, slots.Host],
        counts: Mapping[str, int],
        changed: Callable[[Picture], None],
    ) -> None:
        """``changed`` is called with the picture every quarter of a second, and at the end."""
        self._folder, self._plan, self._tasks = folder, plan, tasks
        self._hosts, self._counts = hosts, dict(counts)
        self._changed = changed
        self._attempts = Attempts(folder)
        self._known = self._attempts.all()
        self._earlier = {number: len(some) for number, some in self._known.items()}
        self._started_at_s = time.time()
        self._strikes = dict.fromkeys(counts, 0)
        self._trouble: dict[str, str] = {}
        self._lost: set[tuple[int, int]] = set()
        self._joblog = reading.Growing(f"{folder}/{engine.JOBLOG_FILE}")
        self._is_stopping = False
        self._stop_count = 0
        self._deadline = math.inf

    def stop(self) -> None:
        """End all tasks; the second call does not wait for them."""
        self._is_stopping = True
        self._stop_count += 1

    def run(self) -> Picture:
        """Run the missing tasks; return how the sweep ended. Raises HpcwatchError."""
        due = self._due()
        while due and not self._is_stopping:
            seen = self._starts_count()
            if not self._round(due):
                break
            due = self._due()
            if not self._counts or self._starts_count() == seen:
                break  # another round would fail as well
        return self.picture(is_over=True)

    def picture(self, is_over: bool = False) -> Picture:
        """Return the current picture."""
        places = [
            Place(
                host.name,
                self._counts.get(login, 0),
                len(host.devices),
                len(host.cores),
                self._trouble.get(login, ""),
            )
            for login, host in self._hosts.items()
        ]
        return Picture(
            self._plan, self._tasks, places, self._known, self._folder,
            self._started_at_s, time.time(), is_over, self._cut_off(),
        )  # fmt: skip

    def _due(self) -> set[int]:
        """Return the numbers of the tasks to run: those not done, and those to retry."""
        return {task.number for task in self._tasks if self._is_due(task.number)}

    def _is_due(self, number: int) -> bool:
        some, used = self._known.get(number, []), self._used(number)
        if used == 0:
            return not is_done(some) and not is_unknown(some)
        last = verdict(some)
        is_good = last is not None and last.ended is not None and last.ended.is_good
        return not is_good and used <= self._plan.retries_count

    def _cut_off(self) -> frozenset[int]:
        """Return the tasks that will report no more: started by another driver, or disconnected.

        If GNU parallel starts such a task again, it has another attempt.
        """
        return frozenset(
            number
            for number, some in self._known.items()
            if is_unknown(some) and (self._used(number) == 0 or _key(some[-1]) in self._lost)
        )

    def _used(self, number: int) -> int:
        """Return how often this driver has started a task."""
        return len(self._known.get(number, [])) - self._earlier.get(number, 0)

    def _starts_count(self) -> tuple[int, int]:
        """Return how many starts were successful, and how many have failed lately.

        Failed starts alone may fill a round of few tasks: their host loses its part after a few.
        """
        return sum(map(len, self._known.values())), sum(self._strikes.values())

    def _round(self, due: set[int]) -> bool:
        """Run GNU parallel once over the due tasks; return False if it did not end by itself."""
        engine.write_logins(self._folder, self._counts)
        self._write_joblog(due)
        retries_count = self._plan.retries_count - max(map(self._used, due))
        running = engine.Engine(self._folder, len(self._tasks), max(retries_count, 0))
        try:
            self._attend(running)
        finally:
            is_whole = running.poll() is not None and not running.is_broken
            if not is_whole:
                running.kill()
            running.close()
            if self._is_stopping or not is_whole:
                self._await_ends()
            self._known = self._attempts.all()
        return is_whole

    def _write_joblog(self, due: set[int]) -> None:
        """Write the rows of tasks that need not run, so that GNU parallel skips them."""
        logins = {host.name: login for login, host in self._hosts.items()}
        path = f"{self._folder}/{engine.JOBLOG_FILE}"
        rows = {row.seq: row for row in _rows(reading.tail(path, 1 << 30))}
        for number, some in self._known.items():
            if some and number not in rows:
                host = some[-1].started.host
                rows[number] = engine.row_of(self._folder, some[-1], logins.get(host, host))
        engine.write_joblog(self._folder, [rows[seq] for seq in sorted(rows) if seq not in due])
        self._joblog = reading.Growing(path, os.path.getsize(path))

    def _attend(self, running: engine.Engine) -> None:
        """Follow a round to its end."""
        looked = -math.inf
        while running.poll() is None:
            select.select([running.channel], [], [], TICK_S)
            running.reap()
            self._take(running)
            if time.monotonic() - looked >= TICK_S:  # not at every message of a thousand tasks
                looked = time.monotonic()
                self._look_at_joblog()
                self._changed(self.picture())
            if self._is_stopping and self._deadline == math.inf:
                running.stop()
                self._deadline = time.monotonic() + END_S
            if time.monotonic() > self._deadline or self._stop_count > 1:
                running.kill()
        self._take(running)
        self._look_at_joblog()
        self._changed(self.picture())

    def _await_ends(self) -> None:
        """Wait for the last messages of tasks that are being ended: their connections end first."""
        self._deadline = min(self._deadline, time.monotonic() + END_S)
        while self._stop_count < 2 and time.monotonic() < self._deadline:
            self._known = self._attempts.all()
            if not self.picture().running():
                return
            time.sleep(TICK_S)

    def _take(self, running: engine.Engine) -> None:
        """Read the messages of tasks."""
        for _, task, number in running.marks():
            attempt = self._attempts.attempt(task, number)
            if attempt is not None:
                self._note(attempt)

    def _note(self, attempt: Attempt) -> None:
        started = attempt.started
        some = self._known.setdefault(started.task, [])
        some[:] = [one for one in some if one.started.attempt != started.attempt] + [attempt]
        for login, host in self._hosts.items():
            if host.name == started.host:
                self._strikes[login] = 0

    def _look_at_joblog(self) -> None:
        """Find the starts that failed before the task sent a message."""
        try:
            lines = list(self._joblog.new_lines())
        except OSError:
            return
        for row in _rows(b"\n".join(lines).decode(errors="replace")):
            if row.exit_code and not self._is_stopping:
                self._judge(row)

    def _judge(self, row: joblog.JoblogRow) -> None:
        if row.host not in self._strikes:
            return
        name = self._hosts[row.host].name
        self._known[row.seq] = self._attempts.of(row.seq)
        self._lost.update(map(_key, self._known[row.seq]))
        if any(one.started.host == name for one in self._known[row.seq]):
            return
        self._strikes[row.host] += 1
        if self._strikes[row.host] >= _STRIKES and row.host in self._counts:
            log = reading.tail(f"{self._folder}/{engine.LOG_FILE}", 4096).strip()
            self._trouble[row.host] = log.splitlines()[-1] if log else f"exit {row.exit_code}"
            del self._counts[row.host]
            if not self._counts:
                raise HpcwatchError("no host can start a task", self._trouble[row.host])
            engine.write_logins(self._folder, self._counts)


def _key(attempt: Attempt) -> tuple[int, int]:
    return attempt.started.task, attempt.started.attempt


def _rows(text: str) -> list[joblog.JoblogRow]:
    found = [joblog.parse_line(line) for line in text.splitlines()]
    return [row for row in found if row is not None]
