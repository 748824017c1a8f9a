"""Watches a program for `hpcwatch run`: session, recording, live view and report.

No error here may affect the program: each step is guarded, its failure is one line, and the program
runs on.
"""

from __future__ import annotations

import _thread
import os
import time

from hpcwatch import config
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.timeline import Timeline, most_samples
from hpcwatch.cluster.current_job import is_one_of_many, names_here, own_job
from hpcwatch.launch import leftovers
from hpcwatch.launch.program import Program
from hpcwatch.monitor import report as reports
from hpcwatch.monitor import run_record
from hpcwatch.monitor.recording import ProgramEvents, ProgramRecording
from hpcwatch.monitor.standard_error import Complaints
from hpcwatch.probe.probe import Probe, Target
from hpcwatch.probe.schema import Sample
from hpcwatch.recording import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Protocol

    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.monitor import RunOptions
    from hpcwatch.monitor.live_findings import Looking
    from hpcwatch.monitor.local import LocalSession
    from hpcwatch.monitor.notify.program import Notifying
    from hpcwatch.monitor.other_nodes import Neighbours
    from hpcwatch.monitor.own_request import OwnRequest

    class LiveView(Protocol):
        """A live view of a running program."""

        step: str | None
        events: tuple[store.Event, ...]

        def update(self, sample: Sample) -> None:
            """Show a sample."""

        def note(self, message: str) -> bool:
            """Show one of the monitor's own messages; return False if that is not possible."""

        def resized(self) -> None:
            """Fit the terminal's new size."""

        def suspend(self) -> None:
            """Clear the view before this process is stopped (SIGTSTP)."""

        def resume(self) -> None:
            """Show the view again."""

        def close(self) -> None:
            """Clear the view for good."""
else:
    import _signal as signal  # without its enums, whose import takes milliseconds

_ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU}


def _signal_event(number: int, at_s: float) -> store.Event:
    from hpcwatch.base.signals import numbered_signal_name

    return store.Event(at_s, "signal", {"signal": numbered_signal_name(number)})


class Opening:
    """The arguments that open a live view."""

    def __init__(
        self,
        timeline: Timeline,
        program: Program,
        settings: config.Settings,
        lock: AbstractContextManager[object],
        looking: Looking | None = None,
    ) -> None:
        self.timeline = timeline
        self.program = program
        self.settings = settings
        self.lock = lock
        """Locked while the timeline is extended."""
        self.looking = looking
        """The findings, where they are evaluated already."""


class Observer:
    """Watches one program from its start to the report."""

    def __init__(
        self,
        options: RunOptions,
        program: Program,
        open_display: Callable[[Opening], LiveView | None] | None = None,
    ) -> None:
        self._options = options
        self._program = program
        self._complaints = Complaints(self._note)
        self._open_display = open_display
        self.say = self._complaints.say
        self.guarded = self._complaints.guarded
        self._lock = _thread.allocate_lock()
        """Locked for each sample: samples of this node and of others come on different threads."""
        self._events = ProgramEvents(program.events_descriptor, program.started_s)
        self._recording = ProgramRecording(self._events, self.say)
        self._session: LocalSession | None = None
        self._hurried_at_s = 0.0
        self._neighbours: Neighbours | None = None
        self._display: LiveView | None = None
        self._request: OwnRequest | None = None
        self._notifying: Notifying | None = None
        self._settings = config.Settings()
        self._run: store.Run | None = None
        self._read_cpu_s: float | None = None
        """Our own CPU time at the latest reading of this node."""
        self._timeline = Timeline(1.0)
        self.made: Report | None = None
        """The report, once ``finish`` has made one."""
        self.saved: store.RunDirectory | None = None
        """The directory from which the run can be read again."""

    def _note(self, line: str) -> bool:
        return self._display is not None and self._display.note(line)

    def start(self) -> None:
        """Start watching. If the program has already ended, only its end is read."""
        is_over = self._program.exit_status is not None
        self.guarded("configuration ignored", self._configure)
        interval_s = self._options.interval or self._settings.interval_s
        job = own_job()
        self._timeline = Timeline(interval_s, job, most_samples(1))
        if not is_over:
            self.guarded("no readings", lambda: self._read(interval_s))
        program = self._program
        self._run = run_record.of_program(program, self._options, interval_s, job)
        self.guarded("not recorded", self._record)
        with self._lock:
            self._recording.begin()
        self.guarded("no notifications", self._notify)
        if is_over:
            self.guarded("no reading", self._read_end)
            return
        self.guarded("no live view", self._show)
        self.guarded("other nodes not watched", lambda: self._watch_others(job, interval_s))
        self.guarded("the scheduler is not queried", lambda: self._ask_for(job))

    def _target(self, job: Job | None) -> Target:
        """Return what to read: the program, and its whole job unless it is one of many tasks."""
        program = self._program
        target = Target(
            os.getpid(), program.started_s, program.counters_before, early_files=program.early_files
        )
        if self._options.sweep_id is not None or is_one_of_many(os.environ):
            # A hundred ranks on a node would ask its exporters a hundred times.
            return target._replace(is_task=job is not None)
        target = target._replace(exporter_ports=self._settings.exporter_ports)
        return target if job is None else target._replace(job_ids=names_here(job))

    def _probe(self) -> Probe:
        program = self._program
        return Probe(self._target(self._timeline.job), program.reaped, program.own_children)

    def _read(self, interval_s: float) -> None:
        from hpcwatch.monitor.local import LocalSession

        self._session = session = LocalSession(
            self._probe(), interval_s, self._arrived, self._session_failed
        )
        session.start()

    def _read_end(self) -> None:
        """Take one sample of a program that has already ended."""
        probe = self._probe()
        self._arrived(probe.read(is_full=False))
        probe.close()

    def _configure(self) -> None:
        self._settings = config.load()

    def _record(self) -> None:
        assert self._run is not None
        self._recording.place(self._run, self._options.output, self._settings.budget_bytes)

    def _notify(self) -> None:
        """Start what sends notifications and cancels an idle job, if either is wanted."""
        options, settings = self._options, self._settings
        if not (options.notify or settings.notify or options.cancel_if_idle):
            return
        if options.sweep_id is not None:
            return
        from hpcwatch.monitor.notify.program import Notifying

        self._notifying = Notifying(
            options, settings, self._program, self._run, self._timeline, self._lock, self
        )

    def _show(self) -> None:
        if self._open_display is not None:
            looking = self._notifying.looking if self._notifying is not None else None
            opening = Opening(self._timeline, self._program, self._settings, self._lock, looking)
            self._display = self._open_display(opening)

    def _watch_others(self, job: Job | None, interval_s: float) -> None:
        """In a job of several nodes, start the process that reads the others."""
        if self._options.nodes == "local" or job is None or len(job.nodes) <= 1:
            return
        from hpcwatch.monitor.other_nodes import Neighbours

        self._neighbours = Neighbours.start(self._program, job, interval_s, self)
        if self._neighbours is not None and self._run is not None:
            self._run = self._run._replace(hosts=[*self._run.hosts, *self._neighbours.hosts])

    def _ask_for(self, job: Job | None) -> None:
        """Start the query for what the environment does not say about the job."""
        if job is None or self._options.sweep_id is not None:
            return
        from hpcwatch.monitor.own_request import OwnRequest, is_worth_asking

        if is_worth_asking(os.environ):
            self._request = OwnRequest(self._program, job, self)

    def job_told(self, job: Job) -> None:
        """Receive the scheduler's answer about the job. Called on the query's thread."""
        with self._lock:
            self._timeline.job = job
            if self._run is not None:
                self._run = self._run._replace(job=job)

    def arrived_elsewhere(self, sample: Sample) -> None:
        """Receive a sample of another node. Called on the neighbours' thread."""
        with self._lock:
            self._timeline.add(sample)
            self._recording.keep(sample)

    def mark(self, event: store.Event) -> None:
        """Record an event with the next sample."""
        self._recording.mark(event)

    def _arrived(self, sample: Sample) -> None:
        """Receive a sample. Called on the session's thread."""
        self._read_cpu_s = time.process_time()
        with self._lock:
            self._timeline.add(sample)
            self._recording.take(sample)
        notifying, display = self._notifying, self._display
        if notifying is not None:
            events = self._events.recent()
            self.guarded("notifications", lambda: notifying.look(sample.host, events))
        if display is not None:
            display.step, display.events = self._events.now(), self._events.recent()
            self.guarded("live view stopped", lambda: display.update(sample))

    def _session_failed(self, error: BaseException) -> None:
        self._complaints.say(
            f"monitoring stopped, the program runs on: {type(error).__name__}: {error}"
        )

    def signal_arrived(self, number: int, at_s: float) -> None:
        """Record a signal with the next sample.

        A signal to end is recorded at once, with a sample: a scheduler may kill us soon,
        Torque 77 ms later.
        """
        if number in _ENDING:
            with self._lock:
                self._recording.keep_now(_signal_event(number, at_s))
            notifying = self._notifying
            if notifying is not None:
                self.guarded("notifications", lambda: notifying.ending(number))
            if self._session is not None and at_s - self._hurried_at_s > 1.0:
                self._hurried_at_s = at_s
                self._session.hurry()
        elif number != signal.SIGWINCH:
            self.mark(_signal_event(number, at_s))
        elif self._display is not None:
            self.guarded("live view", self._display.resized)

    def suspend(self) -> None:
        """Clear the view before this process is stopped."""
        if self._display is not None:
            self.guarded("live view", self._display.suspend)

    def resume(self) -> None:
        """Show the view again."""
        if self._display is not None:
            self.guarded("live view", self._display.resume)

    def finish(self) -> None:
        """Read a last time, close the recording, and make the report. The program has ended."""
        if self._request is not None:
            self.guarded("the job's request", self._request.stop)
        if self._neighbours is not None:
            self.guarded("other nodes", self._neighbours.stop)
        if self._session is not None:
            self.guarded("last reading failed", self._session.stop)
        if self._display is not None:
            self.guarded("live view", self._display.close)
            self._display = None
        with self._lock:
            self._recording.close()
        if self._run is not None:
            self.guarded("no report", self._report)
        notifying = self._notifying
        if notifying is not None:
            self.guarded("notifications", lambda: notifying.finish(self.made))
        self.guarded("leftovers of killed monitors", leftovers.remove)

    def _report(self) -> None:
        assert self._run is not None
        host = self._timeline.hosts.get(os.uname().nodename)
        run = run_record.program_ended(self._run, self._program, host, self._read_cpu_s)
        timeline = self._recording.whole(self._timeline)
        made = reports.of_program(run, timeline, self._recording.events(), self._settings)
        trouble = self._request.trouble if self._request is not None else None
        if trouble is not None:
            errors = {**made.quality.probe_errors, "scheduler": trouble}
            made = made._replace(quality=made.quality._replace(probe_errors=errors))
        self.made = made
        self.saved = self._recording.save(run, self.made)

    def count_findings(self, severity: str) -> int | None:
        """Return how many findings are at least that severe; None without a report."""
        if self.made is None:
            return None
        from hpcwatch.analysis.findings import Severity

        least = Severity[severity.upper()]
        return sum(finding.severity >= least for finding in self.made.findings)
