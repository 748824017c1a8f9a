"""An attempt at a sweep's task from its claim to its end, by a monitor and the monitor's keeper."""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from hpcwatch.base import files
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.sweep import ending, node, plan, slots, task_program
from hpcwatch.sweep.attempts import Attempt, Attempts, Ended, Started
from hpcwatch.sweep.keeper import Keeper
from hpcwatch.sweep.lease import Lease
from hpcwatch.sweep.node import HERE
from hpcwatch.sweep.task_program import EXIT_NOT_STARTED, Work

_EXIT_TIMEOUT, _EXIT_STOPPED = 124, 143


class Place(NamedTuple):
    """Where an attempt runs under a job array: the sweep's submission and the array's element."""

    submission: int
    element: int


class Tries:
    """A task's attempts; ``run`` makes another one if the task is not done."""

    def __init__(self, folder: str, number: int, place: Place | None = None) -> None:
        """``place`` is None under GNU parallel."""
        self._folder = folder
        self._place = place
        self._plan = plan.read(folder)
        self._attempts = Attempts(folder)
        # Our starter reads this: one line at the start, one at the end, nothing else.
        self._channel = os.dup(1)
        task = plan.read_task(folder, number)
        self._number = task.number
        self._work = Work(self._plan, task, self._attempts, self._channel)

    def run(self) -> int:
        """Run the task, unless it is done; return the exit code for GNU parallel."""
        before = self._attempts.of(self._number)
        if any(one.ended is not None and one.ended.is_good for one in before):
            return 0
        last = before[-1] if before else None
        if last is not None and last.ended is None and not self._plan.retries_count:
            raise HpcwatchError(f"how the last try of task {self._number} ended is unknown")
        variables, slot = self._given()
        number = last.started.attempt + 1 if last is not None else 1
        keeper = Keeper(self._channel)
        if keeper.monitor:
            code = keeper.wait()
            if code is None or code == EXIT_NOT_STARTED:
                return self._in_its_place(keeper, number)
            return code
        started = self._started(number, slot)
        if not self._attempts.claim(started):
            raise HpcwatchError(f"task {started.task} is being run by another process")
        lease = self._lease(started)
        self._tell("started", started)
        its = self._end_of(last, started, lease, keeper)
        is_good = its is not None and its.is_good
        if is_good or self._is_to_end(keeper):
            ended = _not_begun(started, is_good)
        else:
            ended = task_program.run(self._work, started, slot, variables, keeper, lease)
        self._end(ended)
        self._tell("ended", started)
        return _exit_code(ended)

    def _end(self, ended: Ended) -> None:
        """Write the end. An output in which nothing is, and nothing can be any more, is removed."""
        task, attempt = ended.task, ended.attempt
        is_silent = self._attempts.is_silent(task, attempt) and ending.is_childless()
        self._attempts.end(ended._replace(is_silent=is_silent))
        if is_silent:
            files.discard(self._attempts.output_file(task, attempt))

    def _given(self) -> tuple[dict[str, str], slots.Slot]:
        """Return the program's environment and slot. Raises HpcwatchError."""
        if self._place is not None:  # the scheduler's job is the slot
            return node.element_environment(self._folder, os.environ), slots.Slot(0, None)
        variables = node.environment(self._folder, os.environ)
        return variables, slots.take(self._plan.id, slots.parse(self._plan.slots), self._host())

    def _started(self, attempt: int, slot: slots.Slot) -> Started:
        return Started(
            self._number,
            attempt,
            os.uname().nodename,
            os.getpid(),
            ending.started_ticks(os.getpid()) or 0,
            time.time(),
            slot.number,
            slot.device,
            *(self._place or ()),
        )

    def _lease(self, started: Started) -> Lease:
        # Without retries it starts on another host only if a person requests that.
        is_strict = self._plan.retries_count > 0
        return Lease(self._attempts, started, self._plan.lease_s, is_strict)

    def _is_to_end(self, keeper: Keeper) -> bool:
        return keeper.is_told or ending.is_alone(self._channel)

    def _end_of(
        self, last: Attempt | None, started: Started, lease: Lease, keeper: Keeper
    ) -> Ended | None:
        """Wait until the previous attempt is over; return its end, None if that is unknown."""
        if last is None or last.ended is not None:
            return None
        before = last.started
        # Of another element of a job array it is not known whether its process is left over.
        if before.host != started.host or _place_of(before) != _place_of(started):
            return lease.await_end(self._attempts, before, lambda: self._is_to_end(keeper))
        mark = f"{before.task}:{before.attempt}"
        ending.end_attempts(self._attempts.left_here([mark]))
        ending.end_left(self._plan.id, [mark])
        return self._attempts.ended(before.task, before.attempt)

    def _in_its_place(self, keeper: Keeper, number: int) -> int:
        """Finish the work of a monitor that was killed or has failed."""
        started = self._attempts.started(self._number, number)
        if started is None or started.pid != keeper.monitor:
            return EXIT_NOT_STARTED
        ended = self._attempts.ended(started.task, started.attempt)
        if ended is None:
            lease = self._lease(started)
            ended = keeper.take_over(
                self._attempts,
                started,
                lambda end: task_program.guard(self._work, end, started, lease),
            )
            if ended is None:
                return EXIT_NOT_STARTED
            self._end(ended)
        self._tell("ended", started)
        return _exit_code(ended)

    def _host(self) -> slots.Host:
        name = os.uname().nodename
        for login, host in node.read_hosts(self._folder).items():
            if host.name == name:
                if login != HERE:
                    # GNU parallel's guard on a remote host kills its process group without giving
                    # it the configured time. The channel shows us that everything is to end.
                    with contextlib.suppress(OSError):
                        os.setpgid(0, 0)
                return host
        raise HpcwatchError(f"{name} is not a host of this sweep")

    def _tell(self, what: str, started: Started) -> None:
        with contextlib.suppress(OSError):  # the reader is gone
            os.write(self._channel, f"{what} {started.task} {started.attempt}\n".encode())


def _place_of(started: Started) -> tuple[int | None, int | None]:
    return started.submission, started.element


def _not_begun(started: Started, is_done: bool) -> Ended:
    return Ended(
        started.task, started.attempt, time.time(), 0.0, None, None,
        is_stopped=True, trouble="the previous attempt succeeded" if is_done else "",
    )  # fmt: skip


def _exit_code(ended: Ended) -> int:
    if ended.is_stopped:
        return _EXIT_STOPPED
    if ended.is_timed_out:
        return _EXIT_TIMEOUT
    return 128 + ended.signal if ended.signal is not None else ended.exit_code or 0
