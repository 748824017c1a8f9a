"""The watch of `hpcwatch job`, `top` and `submit`: scheduler, nodes, recording and findings.

The scheduler is queried on its own thread, each node is read on its own thread, and the view
requests a Picture whenever it repaints. None of them waits for another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.timeline import Timeline, most_samples
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.config import Settings
from hpcwatch.monitor import run_record
from hpcwatch.monitor.job_output import JobOutput
from hpcwatch.monitor.job_program import Inside
from hpcwatch.monitor.known import Known, Questions, known_from
from hpcwatch.monitor.live_findings import About, Looking
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.monitor.on_demand import OnDemand
from hpcwatch.monitor.picture import Picture, Source
from hpcwatch.monitor.presence import Presence
from hpcwatch.monitor.recording import WatchRecording
from hpcwatch.monitor.remote import JobSession, Opener, spec_of
from hpcwatch.monitor.standard_error import attempt
from hpcwatch.probe.schema import Sample
from hpcwatch.probe.wish import Wish
from hpcwatch.recording.store import Event

if TYPE_CHECKING:
    from hpcwatch.monitor.notify.job import JobNotifying

POLL_S = 5.0
"""Seconds between checks whether a query is due; the scheduler is queried at most every 30 s."""
_HURRY_S = 30.0
"""For so long the scheduler is asked at each look when nothing of the job runs any more."""
_PLACE_S = 300.0


class Watch:
    """Watches a job, or hosts without a job, from the first query to the last sample."""

    def __init__(
        self,
        title: str,
        questions: Questions | None,
        known: Known,
        hosts: tuple[str, ...],
        opener: Callable[[Job | None], Opener],
        settings: Settings,
        is_recorded: bool = True,
        user: str | None = None,
    ) -> None:
        """``hosts`` are watched where there is no job; ``opener`` starts probes for a job.

        ``user`` is the user whose processes to read, if that is not the job's owner.
        """
        self._title = title
        self._questions = questions
        self._known = known
        self._hosts = hosts
        self._make_opener = opener
        self._settings = settings
        self._user = user
        self._recording = WatchRecording(settings, self.say, is_recorded)
        self._interval_s = settings.interval_s
        self._timeline = Timeline(self._interval_s, known.job, most_samples(1))
        self._looking = Looking(settings)
        self._presence = Presence()
        self._hurried_until_s = 0.0
        self._found_at_end: list[Finding] | None = None
        self._whole: Timeline | None = None
        self._inside: Inside | None = None
        self._session: JobSession | None = None
        self._on_demand = OnDemand(self._ask_nodes)
        self.notifying: JobNotifying | None = None
        """What reports to the user elsewhere, if that is wanted; to be set before the start."""
        self.lock = threading.RLock()
        """Locked while samples are added and while the timeline is read."""
        self._wake = threading.Event()
        self._is_stopping = False
        self._note = ""
        self._place: int | None = None
        self._placed_s = -_PLACE_S
        self._thread = threading.Thread(target=self._poll, name="hpcwatch-poll", daemon=True)

    @property
    def known(self) -> Known:
        """The scheduler's last answer."""
        return self._known

    @property
    def run_id(self) -> str | None:
        """The recording's id; None if nothing is recorded."""
        return self._recording.run_id

    @property
    def timeline(self) -> Timeline:
        """The samples so far."""
        return self._timeline

    def start(self) -> None:
        """Start reading the nodes and querying the scheduler."""
        self._follow()
        self._thread.start()

    def stop(self) -> None:
        """End all probes and the recording."""
        self._is_stopping = True
        self._wake.set()
        with self.lock:
            session, self._session = self._session, None
        if session is not None:
            session.stop()
        self._stop_inside()
        self._on_demand.stop()
        self._recording.close(self._known.job, self._whole or self._timeline)

    def await_program(self, patience_s: float) -> None:
        """Wait for the first look at the events of the job's program, if it may have any."""
        if self._inside is not None:
            self._inside.await_look(patience_s)

    def report(self) -> Report:
        """Return the report of the samples so far."""
        if self._inside is not None:
            self._recording.take(self._inside.events)
        nodes = self._known.nodes or self._hosts
        run = run_record.of_job(self._title, self._known.job, nodes, self._settings)
        return self._recording.report(run, self._whole or self._timeline)

    def refresh(self) -> None:
        """Retry lost nodes and query the scheduler again, unless that was just done."""
        self._wake.set()
        if self._session is not None:
            self._session.retry()

    def name_all(self, hosts: frozenset[str]) -> None:
        """Ask these nodes for all of the job's processes from now on, and no others."""
        with self.lock:
            self._on_demand.name_all(hosts)

    def follow_log(self, is_shown: bool) -> None:
        """Read output files on the job's first node while they are shown and not readable here."""
        with self.lock:
            self._on_demand.follow_log(is_shown)

    def _ask_nodes(self, wishes: Mapping[str, Wish]) -> None:
        if self._session is not None:
            self._session.ask(wishes)

    def statuses(self) -> tuple[NodeStatus, ...]:
        """Return the status of each node."""
        return self._session.statuses() if self._session is not None else ()

    def picture(self) -> Picture:
        """Return the current picture for the view."""
        now_s = time.monotonic()
        with self.lock:
            known = self._known
            found = self._found_at_end
            if found is None:
                found = self._looking.found()
        sources: tuple[Source, ...] = ()
        if self._questions is not None:
            name = self._questions.inquiry.scheduler.name
            sources = (Source(name, now_s - known.at_s, known.trouble),)
        return Picture(
            title=self._title,
            job=known.job,
            parts=known.parts,
            sources=sources,
            statuses=self.statuses(),
            timeline=self._timeline,
            findings=found,
            at_s=time.time(),
            monotonic_s=now_s,
            interval_s=self._interval_s,
            note=self._note,
            place=self._place,
            telling=self._inside.telling if self._inside is not None else None,
            events=self._inside.recent if self._inside is not None else (),
            logs=self._on_demand.logs,
            asked=self._on_demand.hosts,
            further=self._on_demand.further,
        )

    def say(self, note: str) -> None:
        """Show a message in the view until the next one comes."""
        self._note = note

    def _poll(self) -> None:
        """Query the scheduler until the job is over."""
        questions = self._questions
        while not self._is_stopping and questions is not None:
            self._wake.wait(POLL_S)
            self._wake.clear()
            if self._is_stopping:
                return
            if self._presence.is_gone and time.monotonic() < self._hurried_until_s:
                questions.inquiry.hurry()
            self._guarded(partial(self._ask, questions))
            self._guarded(self._notify)
            job = self._known.job
            if job is not None and job.has_ended:
                self._guarded(self._end)
                self._guarded(partial(self._notify_end, job))
                return

    def _notify(self) -> None:
        if self.notifying is not None:
            with self.lock:
                self.notifying.look(self._known.job, self._timeline, self._looking.found())

    def tell_end(self) -> None:
        """Report the job's end now if it has ended: the last query may be on its way."""
        job = self._known.job
        if job is not None and job.has_ended:
            self._guarded(partial(self._notify_end, job))

    def _notify_end(self, job: Job) -> None:
        if self.notifying is not None:
            found = self._found_at_end
            self.notifying.ended(job, self._looking.found() if found is None else found)

    def mark(self, event: Event) -> None:
        """Record an event. Any thread."""
        self._recording.event(event)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step; its failure becomes a message, and the picture stays."""
        attempt(self.say, "", step)

    def _ask(self, questions: Questions) -> None:
        before = self._known
        try:
            reply = questions.inquiry.job(questions.job_id, before.job)
        except HpcwatchError as error:
            self._known = before._replace(trouble=str(error))
            return
        known = known_from(reply, before.job)
        if not known.parts:
            return
        with self.lock:
            self._known = known
            if known.job is not None:
                self._timeline.job = known.job
        if known.job != before.job:
            self._recording.job_changed(known.job)
        self._find_place(questions)
        if known.job is not None and known.job.state.is_waiting:
            self._looking.wait(self._timeline, time.time())
        elif before.job is not None and before.job.state.is_waiting:
            with self.lock:
                self._looking.begin()
        self._follow()

    def _find_place(self, questions: Questions) -> None:
        """Count the jobs that wait in front of this one; that queries all users' jobs."""
        job = self._known.job
        if job is None or job.state is not JobState.QUEUED:
            self._place = None
        elif time.monotonic() - self._placed_s >= _PLACE_S:
            self._placed_s = time.monotonic()
            self._place = questions.inquiry.place(job)

    def _follow(self) -> None:
        """Watch the nodes the job has now, if it runs."""
        job = self._known.job
        hosts = self._known.nodes if self._questions is not None else self._hosts
        is_due = job is None or not (job.state.is_waiting or job.has_ended)
        if not hosts or not is_due or self._session is not None or self._is_stopping:
            return
        self._timeline = Timeline(self._interval_s, job, most_samples(len(hosts)))
        self._recording.open(self._title, job, hosts)
        # Not an array's tasks: they are watched one at a time.
        parts = self._known.parts if job is not None else ()
        ports = self._settings.exporter_ports
        spec = spec_of(parts, self._interval_s, self._user, ports)
        session = JobSession(hosts, spec, self._make_opener(job), self._arrived, self._changed)
        inside = self._inside = Inside.of(parts)
        with self.lock:
            self._session = session
        session.start()
        if inside is not None:
            inside.start()
        if job is not None:
            self._on_demand.begin(JobOutput(job), hosts[0])

    def _stop_inside(self) -> None:
        """Read the program's last events and stop following it."""
        if self._inside is not None:
            self._inside.stop()
            self._recording.take(self._inside.events)

    def _end(self) -> None:
        """The job is over: its nodes may belong to other jobs now. Their last state stays.

        Findings of its last seconds no longer matter, findings about the whole job do.
        """
        session = self._session
        if session is None:
            return
        session.stop()
        self._recording.end(self._known.job)
        self._stop_inside()
        self._whole = self._recording.whole(self._timeline)
        found = self.report().findings
        with self.lock:
            self._found_at_end = found

    def _arrived(self, sample: Sample) -> None:
        """Receive a sample, on its node's thread."""
        with self.lock:
            sample = self._on_demand.take(sample)
            self._timeline.add(sample)
            if self._questions is not None:  # without a job nothing was requested or wasted
                events = self._inside.recent if self._inside is not None else ()
                self._looking.look(self._timeline, sample.host, About(events))
            if self._presence.saw(sample):
                self._hurry()
        self._recording.append(sample)

    def _hurry(self) -> None:
        """Ask the scheduler at once: the job's processes are gone."""
        self._hurried_until_s = time.monotonic() + _HURRY_S
        self._wake.set()

    def _changed(self, status: NodeStatus) -> None:
        """Receive a change of a node's state, on that node's thread."""
        if status.state is NodeState.LOST:
            with self.lock:
                self._looking.forget(status.host)
                if self._presence.lost(status.host):
                    self._hurry()
        self._recording.mark(status)
