"""Notifications and the cancelling of an idle job, for `hpcwatch run`."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from typing import Protocol

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base import files
from hpcwatch.base.errors import os_reason
from hpcwatch.base.signals import numbered_signal_name
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.config import Settings
from hpcwatch.launch.program import Program
from hpcwatch.monitor import RunOptions
from hpcwatch.monitor.live_findings import About, Looking
from hpcwatch.monitor.notify import cancel_process
from hpcwatch.monitor.notify.alerts import Alerts, spool_of
from hpcwatch.monitor.notify.idle_cancel import IdleCancel
from hpcwatch.monitor.notify.message import Subject
from hpcwatch.monitor.notify.plan import plan_of
from hpcwatch.monitor.own_request import is_worth_asking
from hpcwatch.monitor.standard_error import attempt
from hpcwatch.recording import store

_ENDING_S = 30.0
"""For so long after scancel or qdel, signals may come from the scheduler."""


class Taker(Protocol):
    """What the notifications of a program need from its monitor."""

    def say(self, message: str) -> None:
        """Print a line once."""

    def mark(self, event: store.Event) -> None:
        """Record an event."""


class Notifying:
    """Watches one program's findings and idleness."""

    def __init__(
        self,
        options: RunOptions,
        settings: Settings,
        program: Program,
        run: store.Run | None,
        timeline: Timeline,
        lock: AbstractContextManager[object],
        taker: Taker,
    ) -> None:
        self._program, self._timeline, self._lock, self._taker = program, timeline, lock, taker
        self.looking = Looking(settings)
        self._alerts: Alerts | None = None
        self._idle: IdleCancel | None = None
        self._found: list[Finding] = []
        self._is_ending = threading.Event()
        if run is not None and is_worth_asking(os.environ):
            # An idle job is cancelled also if no messages can be sent.
            attempt(taker.say, "no notifications", lambda: self._open(options, settings, run))
        if options.cancel_if_idle is not None:
            self._idle = IdleCancel(
                options.cancel_if_idle,
                dict(os.environ),
                self._cancel,
                taker.say,
                taker.mark,
                self._alerts,
            )

    def _open(self, options: RunOptions, settings: Settings, run: store.Run) -> None:
        plan = plan_of(options.notify, settings.notify)
        if plan is None:
            return
        about = subject(run, os.uname().nodename)
        spool = spool_of(about, plan.digest_s, store.root())
        self._alerts = Alerts(plan, about, self._program.start_helper, spool)
        self._alerts.started()

    def look(self, name: str, events: tuple[store.Event, ...]) -> None:
        """Look at the findings after a sample of a host. Called on the session's thread."""
        about = About(events, dict(os.environ), self._program.started_s, is_program=True)
        step = None
        with self._lock:  # samples of other nodes come on another thread
            if self._alerts is not None:
                self.looking.look(self._timeline, name, about)
                self._found = self.looking.found()
            if self._idle is not None:
                now_s = self._timeline.hosts[name].at_s[-1]
                step = self._idle.judge(self._timeline, now_s, self._program.started_s)
        if self._alerts is not None:
            self._alerts.look(self._found)
        if step is not None and self._idle is not None:
            self._idle.take(step, self._timeline.job)

    def _cancel(self, job: Job) -> str:
        """Cancel the job in a separate process; return why that failed, or an empty text."""
        try:
            to_process, from_process = self._program.start_helper(cancel_process.ARGV)
            try:
                files.write_all(to_process, cancel_process.request(job))
                answer = os.read(from_process, cancel_process.MOST_BYTES)
            finally:
                os.close(to_process)
                os.close(from_process)
        except OSError as error:
            return os_reason(error)
        trouble = cancel_process.trouble_in(answer)
        if not trouble.is_sure and self._is_ending.wait(_ENDING_S):
            return ""  # the end of the job has ended the process, too
        return trouble.words

    def ending(self, number: int) -> None:
        """Report a signal that asks the program to end."""
        self._is_ending.set()
        if self._alerts is not None:
            self._alerts.ending(numbered_signal_name(number))

    def finish(self, made: Report | None) -> None:
        """Report the end of the run, and print one line if messages could not be delivered."""
        if self._alerts is None:
            return
        if made is not None:
            run = made.run
            is_killed = run.signal is not None
            is_bad = is_killed or bool(run.exit_code)
            self._alerts.ended(f" {_how(run)}", is_bad, is_killed, run.wall_s, made.findings)
        for trouble in self._alerts.close():
            self._taker.say(f"notify: {trouble}")


def _id(job: Job) -> str:
    """Return a job's id; for a task of an array in Slurm the array's id and the index."""
    is_number = job.array_index is not None and job.id.isdecimal()
    return f"{job.array_id}_{job.array_index}" if is_number else job.id


def _array_id(job: Job) -> str | None:
    """Return the id of a task's array. In PBS it is a part of the task's id, ``5[1].qb3``."""
    number, bracket, _ = job.id.partition("[")
    return job.array_id or (number if bracket else None)


def _how(run: store.Run) -> str:
    if run.signal is not None:
        return f"was killed by {numbered_signal_name(run.signal)}"
    return f"failed with exit code {run.exit_code}" if run.exit_code else "ended normally"


def subject(run: store.Run, host: str) -> Subject:
    """Return the subject of messages about a run."""
    job = run.job
    return Subject(
        name=run.name,
        user=run.user,
        host=host,
        job_id=_id(job) if job is not None else None,
        scheduler=job.scheduler if job is not None else None,
        run_id=run.id,
        array_id=_array_id(job) if job is not None else None,
    )
