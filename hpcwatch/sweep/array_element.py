"""An element of a job array: runs its share of a sweep's tasks, one after the other.

Each task is a separate process that claims its attempt in the shared folder, as under GNU parallel.
It writes to a pipe that only the element reads, so it ends when the element ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

from hpcwatch.sweep import array, engine, node, plan
from hpcwatch.sweep.attempts import Attempts, is_done, verdict
from hpcwatch.sweep.task_attempt import Place

_STOPPED = 143  # the exit code that a shell gives for SIGTERM: 128 + 15


def run(folder: str, place: Place) -> int:
    """Run the element's tasks; return 0 if all succeeded. Raises HpcwatchError or OSError."""
    worker = _Worker(folder, place)
    with worker.hearing():
        worker.work(array.read(folder, place.submission).tasks_of(place.element))
    forget_environment_if_done(folder, worker.plan.tasks_count)
    if worker.is_stopping:
        return _STOPPED
    return 1 if worker.has_failures else 0


class _Worker:
    """Runs the tasks. A signal of the scheduler ends the running task, and no other starts."""

    def __init__(self, folder: str, place: Place) -> None:
        self.plan = plan.read(folder)
        self.is_stopping = False
        self.has_failures = False
        self._folder, self._place = folder, place
        self._attempts = Attempts(folder)
        self._channel: int | None = None
        """The reading end of the pipe that the running task writes to."""

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        """Handle the signals that end a job."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _number: int, _frame: object) -> None:
        self.is_stopping = True
        self._end_task()

    def _end_task(self) -> None:
        """End the running task, by closing the pipe that it writes to."""
        channel, self._channel = self._channel, None
        if channel is not None:
            os.close(channel)

    def work(self, numbers: list[int]) -> None:
        """Run the tasks that are due, each with its retries."""
        for number in numbers:
            while not self.is_stopping and self._is_due(number):
                before = self._own_count(number)
                self._try(number)
                is_tried = self._own_count(number) > before
                if not is_tried or not is_done(self._attempts.of(number)):
                    break  # another process has it, it could not be started, or it was stopped
            last = verdict(self._attempts.of(number))
            is_good = last is not None and last.ended is not None and last.ended.is_good
            self.has_failures |= not is_good

    def _is_due(self, number: int) -> bool:
        some, used = self._attempts.of(number), self._own_count(number)
        if used == 0 or not is_done(some):
            return not is_done(some)
        last = verdict(some)
        is_good = last is not None and last.ended is not None and last.ended.is_good
        return not is_good and used <= self.plan.retries_count

    def _own_count(self, number: int) -> int:
        """Return how often this element started a task, including runs before a requeue."""
        starts = [one.started for one in self._attempts.of(number)]
        return sum((one.submission, one.element) == tuple(self._place) for one in starts)

    def _try(self, number: int) -> None:
        words = (str(number), *map(str, self._place))
        self._channel, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            task = subprocess.Popen(
                engine.task_argv(self._folder, "--of-element", *words),
                stdin=subprocess.DEVNULL,
                stdout=write_end,
            )
        finally:
            os.close(write_end)
        if self.is_stopping:  # the signal may have come before the pipe was open
            self._end_task()
        task.wait()
        self._end_task()


def forget_environment_if_done(folder: str, tasks_count: int) -> None:
    """Remove the stored environment once every task has ended, as it may hold secrets.

    The last task is checked first, as it is the likeliest to be running.
    """
    attempts = Attempts(folder)
    if all(is_done(attempts.of(number)) for number in range(tasks_count, 0, -1)):
        forget_environment(folder)


def forget_environment(folder: str) -> None:
    """Remove the stored environment."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder, node.ENVIRONMENT_FILE))
