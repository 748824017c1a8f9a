"""Notifications and the cancelling of an idle job, for `hpcwatch job` and `submit`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.cluster.cancelling import cancelled_own
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.job_exit import Cause
from hpcwatch.config import Settings
from hpcwatch.monitor.notify.alerts import Alerts
from hpcwatch.monitor.notify.channel import start_process
from hpcwatch.monitor.notify.idle_cancel import IdleCancel
from hpcwatch.monitor.notify.message import Subject
from hpcwatch.monitor.notify.plan import plan_of
from hpcwatch.probe.listing import login_name
from hpcwatch.recording.store import Event

_BAD = {JobState.FAILED, JobState.NODE_FAILED}
_KILLED = {JobState.TIMEOUT, JobState.OUT_OF_MEMORY, JobState.CANCELLED, JobState.PREEMPTED}


class JobNotifying:
    """Watches one job's state, findings and idleness. Only ``close`` waits."""

    def __init__(
        self,
        job: Job,
        given: Sequence[str],
        idle_s: float | None,
        settings: Settings,
        mark: Callable[[Event], None],
        say: Callable[[str], None],
    ) -> None:
        """``given`` has the values of ``--notify``, ``idle_s`` the value of ``--cancel-if-idle``.

        Raises HpcwatchError, with exit code 2 if the user may not cancel the job.
        """
        self._me = login_name(os.getuid())
        self._say = say
        self._state: JobState | None = job.state
        self._first_s = time.time()
        self._alerts = self._opened(job, given, settings)
        self._is_end_told = False
        self._lock = threading.Lock()
        self._idle: IdleCancel | None = None
        if idle_s is not None:
            if job.owner is not None and job.owner.partition("@")[0] != self._me:
                hint = "only its owner's hpcwatch cancels a job"
                raise HpcwatchError(f"job {job.id} is {job.owner}'s", hint, EXIT_USAGE)
            self._idle = IdleCancel(idle_s, {}, self._cancel, say, mark, self._alerts)

    def _opened(self, job: Job, given: Sequence[str], settings: Settings) -> Alerts | None:
        plan = plan_of(given, settings.notify)
        if plan is None:
            return None
        about = Subject(
            name=job.name or job.id,
            user=job.owner or self._me,
            host=job.nodes[0] if len(job.nodes) == 1 else "",
            job_id=job.id,
            scheduler=job.scheduler,
        )
        try:
            return Alerts(plan, about, start_process)
        except OSError as error:
            self._say(f"no notifications: {os_reason(error)}")
            return None

    def look(self, job: Job | None, timeline: Timeline, found: Sequence[Finding]) -> None:
        """Look at the job's state and findings, while no sample is added."""
        before, self._state = self._state, job.state if job is not None else self._state
        is_running = self._state is JobState.RUNNING
        if self._alerts is not None:
            if is_running and before is not None and before.is_waiting:
                self._alerts.started()
            self._alerts.look(found)
        if self._idle is not None:
            judge = partial(self._idle.judge, timeline) if is_running else self._idle.suspended
            step = judge(time.time(), self._first_s)
            if step is not None:
                self._idle.take(step, job)

    def ended(self, job: Job, found: Sequence[Finding]) -> None:
        """Report the end of the job, once. Any thread may call it."""
        with self._lock:
            is_told, self._is_end_told = self._is_end_told, True
        if self._alerts is None or is_told:
            return
        is_signal = job.exit is not None and job.exit.cause in (Cause.SIGNAL, Cause.MEMORY)
        is_killed = job.state in _KILLED or is_signal
        how = job.exit.words if job.exit is not None else job.state.value
        if job.state is JobState.UNKNOWN:
            how = "it has left the queue, and how it ended is not known"
        is_bad = job.state in _BAD or is_killed
        self._alerts.ended(f": {how}", is_bad, is_killed, job.elapsed_at(time.time()), found)

    def close(self) -> list[str]:
        """Deliver the remaining messages within a limited time; return the failures."""
        return self._alerts.close() if self._alerts is not None else []

    def _cancel(self, job: Job) -> str:
        try:
            cancelled_own(job, self._me)
        except HpcwatchError as error:
            return str(error)
        return ""
