"""Carries out `--cancel-if-idle`: warns, records, and cancels the job on a separate thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor.notify.alerts import Alerts
from hpcwatch.monitor.notify.idle import IdleTime, Since
from hpcwatch.monitor.notify.idle_watch import Act, IdleWatch, Step
from hpcwatch.recording.store import Event

EVENT = "cancel if idle"


class IdleCancel:
    """Cancels one job."""

    def __init__(
        self,
        after_s: float,
        environment: Mapping[str, str],
        cancel: Callable[[Job], str],
        say: Callable[[str], None],
        mark: Callable[[Event], None],
        alerts: Alerts | None,
    ) -> None:
        """``cancel`` returns why the job could not be cancelled, or an empty text."""
        self._watch = IdleWatch(after_s)
        self._time = IdleTime(after_s, environment)
        self._cancel, self._say, self._mark, self._alerts = cancel, say, mark, alerts

    def judge(self, timeline: Timeline, now_s: float, first_s: float) -> Step | None:
        """Judge the readings, while no sample is added. See ``IdleWatch.decide``."""
        return self._watch.decide(self._time.look(timeline, now_s), now_s, first_s)

    def suspended(self, now_s: float, first_s: float) -> Step | None:
        """Withdraw a warning: a suspended job can do nothing."""
        self._time.start_anew(now_s)
        return self._watch.decide(Since(None, unknown="the job is suspended"), now_s, first_s)

    def take(self, step: Step, job: Job | None) -> None:
        """Report and record a step, and cancel the job if the step says so."""
        words = step.words
        if step.act is Act.CANCEL:
            words = f"{words}: the job is being cancelled"
        self._tell(step.act.value, step.words, words)
        if step.act is Act.CANCEL and job is not None:
            # On a thread, as the scheduler may take a minute to answer.
            threading.Thread(target=self._end, args=(job,), daemon=True).start()

    def _end(self, job: Job) -> None:
        trouble = self._cancel(job)
        if trouble:
            self._tell("failed", trouble, f"cancelling it failed: {trouble}")

    def _tell(self, state: str, reason: str, words: str) -> None:
        self._mark(Event(time.time(), EVENT, {"state": state, "reason": reason}))
        self._say(f"--cancel-if-idle: {words}")
        if self._alerts is not None:
            self._alerts.idle(words)
