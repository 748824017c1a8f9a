"""Sweeps in the list of recorded runs: one record each, removed as a whole or not at all."""

from __future__ import annotations

import contextlib
import math
import os
import time
from fnmatch import fnmatchcase

from hpcwatch.base import files, owners
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.recording.lookup import Say
from hpcwatch.recording.removal import remove_folder
from hpcwatch.recording.search import Found, Wanted, has_findings
from hpcwatch.recording.store import Run, RunDirectory
from hpcwatch.sweep import array, engine, folders, gpus, lease, node, plan, summary
from hpcwatch.sweep.attempts import OUTPUTS, RUNS, STATES, Attempt, Attempts
from hpcwatch.sweep.summary import Summary

KIND = "sweep"
_OURS = {
    *(STATES, OUTPUTS, RUNS, array.ARRAYS),
    *(plan.PLAN_FILE, plan.TASKS_FILE, folders.DRIVER_FILE),
    *(node.ENVIRONMENT_FILE, node.HOSTS_FILE, gpus.TOLD_FILE),
    *(engine.JOBLOG_FILE, engine.LOGINS_FILE, engine.LOG_FILE, engine.LAUNCHER_FILE),
    *(engine.PATIENT_FILE, summary.SUMMARY_FILE),
}

_EPILOGUE_S = 600.0
"""Longer than schedulers let an epilogue run (slurm.conf(5), PrologEpilogTimeout: mostly 300 s)."""


class Sweep:
    """A sweep with its tasks' results and use; two with the same folder are equal."""

    def __init__(self, found: folders.Found) -> None:
        self.folder, self.plan = found
        self._summary = self._counted()

    def _counted(self) -> Summary:
        """Return the summary of its tasks: the written one, or one made from their files."""
        known = summary.read(self.folder)
        if known is None:
            at_ns = summary.states_at_ns(self.folder)
            made = summary.of_attempts(Attempts(self.folder).all(), at_ns, 0)
            made = made._replace(is_tidy=not array.every(self.folder))
        elif known.is_tidy or not self._is_long_over(known):
            return known
        else:
            made = known
        if not made.is_tidy and self._is_long_over(made) and owners.is_ours(self.folder):
            array.discard_silent_outputs(self.folder)
            made = made._replace(is_tidy=True)
        made = made._replace(size_bytes=summary.size_bytes(self.folder))
        if folders.driver_of(self.folder) is None:
            summary.write(self.folder, made)
        return made

    def _is_long_over(self, made: Summary) -> bool:
        """Return True if nothing of its job arrays writes any more: no epilogue, no late copy."""
        is_over = made.good_count + made.failed_count >= self.plan.tasks_count
        return is_over and time.time() - (made.last_at_s or math.inf) > _EPILOGUE_S

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sweep) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    @property
    def started_at_s(self) -> float:
        """When its first task started; without tasks, when it was created."""
        at_s = self._summary.started_at_s
        return self.plan.made_at_s if at_s is None else at_s

    @property
    def last_s(self) -> float:
        """The time of its last event."""
        at_s = self._summary.last_at_s
        return self.plan.made_at_s if at_s is None else at_s

    @property
    def good_count(self) -> int:
        """The number of successful tasks."""
        return self._summary.good_count

    @property
    def failed_count(self) -> int:
        """The number of tasks that failed by themselves."""
        return self._summary.failed_count

    @property
    def cpu_s(self) -> float | None:
        """The CPU seconds of all attempts that have ended."""
        return self._summary.cpu_s

    @property
    def left_count(self) -> int:
        """The number of tasks that have not ended by themselves."""
        return self.plan.tasks_count - self.good_count - self.failed_count

    @property
    def wall_s(self) -> float:
        """Seconds from the first task's start to the last task's end."""
        return max(self.last_s - self.started_at_s, 0.0)

    @property
    def how(self) -> str:
        """Its state: ``ok``, ``3 failed``, ``running`` or ``4 to do``."""
        if folders.driver_of(self.folder) is not None or self._has_running_elements():
            return "running"
        if self.left_count:
            return f"{self.left_count} to do"
        return f"{self.failed_count} failed" if self.failed_count else "ok"

    def _has_running_elements(self) -> bool:
        """Return True if a task of a job array runs: its monitor still renews its lease."""
        if not self._summary.open_count or not array.every(self.folder):
            return False
        from hpcwatch.sweep.array_state import is_quiet  # loads the schedulers

        attempts = Attempts(self.folder)
        now_s = folders.now_s(self.folder)
        return any(
            one.ended is None and not is_quiet(attempts, one.started, now_s)
            for some in attempts.all().values()
            for one in some
        )

    @property
    def size_bytes(self) -> int:
        """The size of its files."""
        return self._summary.size_bytes

    def fits(self, wanted: Wanted) -> bool:
        """Return whether it is one of those that are looked for."""
        names = (self.plan.name, self.plan.id)
        return (
            (wanted.kind in (None, KIND))
            and (wanted.name is None or any(fnmatchcase(name, wanted.name) for name in names))
            and (wanted.job is None or self._is_of_job(wanted.job))
            and (wanted.since_s is None or self.started_at_s >= wanted.since_s)
            and (not wanted.is_failed or self.failed_count > 0)
            and (not wanted.has_findings or self._has_findings())
        )

    def _is_of_job(self, wanted: str) -> bool:
        """Return whether it was run in a job, or as a job array, of this id."""
        arrays = [one.job_id for one in array.every(self.folder)]
        return any(_is_of_job(job_id, wanted) for job_id in (self.plan.job_id, *arrays))

    def _has_findings(self) -> bool:
        return any(has_findings(task.directory) for task in self.tasks())

    def tasks(self) -> list[Task]:
        """Return the recorded attempts of its tasks, in the order of their starts."""
        found = []
        files = Attempts(self.folder)
        for some in files.all().values():
            for one in some:
                path = files.run_folder(one.started.task, one.started.attempt)
                directory = RunDirectory(path)
                with contextlib.suppress(HpcwatchError):
                    found.append(Task(directory, directory.read_run(), one))
        return sorted(found, key=lambda task: task.run.started_at_s)

    def obstacle(self) -> str | None:
        """Return why it must not be removed; None if it may be."""
        driver = folders.driver_of(self.folder)
        if driver is not None:
            return f"it is running on {driver}"
        attempts = Attempts(self.folder)
        known = attempts.all()
        queued = self._queued(known)
        if queued is not None:
            return queued
        for number, some in known.items():
            if some[-1].ended is None:
                with contextlib.suppress(OSError):
                    if lease.age_s(attempts, some[-1].started) < self.plan.lease_s:
                        return f"task {number} may still be running on {some[-1].started.host}"
        names: set[str] = set()
        with contextlib.suppress(FileNotFoundError):  # another command removes it
            names = set(os.listdir(self.folder)) - _OURS
        foreign = sorted(name for name in names if not files.is_left_over(name, _OURS))
        return f"it holds a file that is not hpcwatch's: {foreign[0]}" if foreign else None

    def _queued(self, known: dict[int, list[Attempt]]) -> str | None:
        """Return which of its job arrays the scheduler still has; None if there is none."""
        if not (self.left_count and array.every(self.folder)):
            return None
        from hpcwatch import config
        from hpcwatch.sweep.array_state import Asking

        states = Asking(config.load().scheduler).states(self.folder, known)
        active = [state.words for state in states if state.is_active]
        return active[0] if active else None

    def remove(self) -> None:
        """Remove all of it. Raises OSError, but not if another command removes it."""
        with contextlib.suppress(FileNotFoundError):
            remove_folder(self.folder)


class Task(Found):
    """The recorded run of a sweep's task."""

    def __init__(self, directory: RunDirectory, run: Run, attempt: Attempt) -> None:
        super().__init__(directory, run)
        self.attempt = attempt


def every(say: Say | None = None) -> list[Sweep]:
    """Return all readable sweeps, the latest last; ``say`` takes a line for each other one."""
    return [Sweep(found) for found in folders.every(say)]


def called(which: str) -> Sweep | None:
    """Return the sweep of an id, or the latest of a name."""
    known = folders.every()
    for matches in (
        [one for one in known if one.plan.id == which],
        [one for one in known if one.plan.name == which],
    ):
        if matches:
            return Sweep(matches[-1])
    return None


def discard(found: folders.Found) -> None:
    """Remove a sweep that nothing was done for, as far as that is possible."""
    with contextlib.suppress(OSError):
        Sweep(found).remove()


def summarize(found: folders.Found) -> None:
    """Write the summary of a finished sweep."""
    Sweep(found)


def _is_of_job(job_id: str | None, wanted: str) -> bool:
    return job_id is not None and wanted in (job_id, job_id.partition(".")[0])
