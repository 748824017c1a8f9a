"""The recording of what `hpcwatch job` sees: a run like any other. Its failure stops nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from hpcwatch import __version__
from hpcwatch.analysis import report
from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.config import Settings
from hpcwatch.monitor import own_cost
from hpcwatch.monitor.local import NodeState, NodeStatus
from hpcwatch.probe.schema import Sample
from hpcwatch.recording import store
from hpcwatch.recording.recorder import Recorder

_NODES_IN_FULL = 16
"""Of more nodes than that, several readings of each go into one line."""
_BUDGETS = 8
"""A recording of many nodes takes so many times the space of one at most."""


class Keeping:
    """One recording, made when the first node is about to be read."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], is_recorded: bool = True
    ) -> None:
        """Without ``is_recorded`` it only describes what is seen."""
        self._settings = settings
        self._say = say
        self._is_recorded = is_recorded
        self._run: store.Run | None = None
        self._directory: store.RunDirectory | None = None
        self._recorder: Recorder | None = None
        self._lost: set[str] = set()
        self._told: Sequence[store.Event] = ()
        self._is_told_kept = False
        self._lock = threading.Lock()

    @property
    def run_id(self) -> str | None:
        """The run's id; None if nothing is recorded."""
        return self._run.id if self._run is not None and self._directory is not None else None

    def open(self, title: str, job: Job | None, hosts: tuple[str, ...]) -> None:
        """Begin a recording."""
        self._run = describe(title, job, hosts, self._settings)
        if self._is_recorded:
            self._guarded(lambda: self._create(len(hosts)))

    def _create(self, hosts_count: int) -> None:
        assert self._run is not None
        path = os.path.join(store.root(), self._run.id)
        directory = store.RunDirectory.create(path)
        directory.write_run(self._run)
        directory.reserve()
        budget_bytes = self._settings.budget_bytes * min(hosts_count, _BUDGETS)
        stride_count = -(-hosts_count // _NODES_IN_FULL)
        self._recorder = Recorder(directory, self._say, budget_bytes, stride_count)
        self._directory = directory

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step; its failure is a note, and the watching goes on."""
        try:
            step()
        except HpcwatchError as error:
            self._say(f"not recorded: {error}")
        except OSError as error:
            self._say(f"not recorded: {os_reason(error)}")
        except Exception as error:  # a mistake of ours in the report: the view ends in order
            self._say(f"not recorded: {type(error).__name__}: {error}")

    def append(self, sample: Sample) -> None:
        """Record a sample. Any thread."""
        if self._recorder is not None:
            self._recorder.append(sample)

    def mark(self, status: NodeStatus) -> None:
        """Note that a node was lost, or found again. Any thread."""
        is_lost = status.state is NodeState.LOST
        with self._lock:
            if is_lost == (status.host in self._lost) or status.state is NodeState.CONNECTING:
                return
            (self._lost.add if is_lost else self._lost.discard)(status.host)
            fields = {"host": status.host, "reason" if is_lost else "way": _why(status)}
            event = store.Event(time.time(), "node lost" if is_lost else "node found", fields)
            directory = self._directory
            if directory is not None:
                self._guarded(lambda: directory.append_event(event))

    def job_changed(self, job: Job | None) -> None:
        """Note what the scheduler says now, so that it is known should we be killed."""
        if self._run is not None:
            self._run = self._run._replace(job=job)
            self._guarded(self._write_run)

    def _write_run(self) -> None:
        if self._directory is not None and self._run is not None:
            self._directory.write_run(self._run)

    def end(self, job: Job | None) -> None:
        """Note that there is nothing more to see. The first time counts."""
        if self._run is None or self._run.ended_at_s is not None:
            return
        now_s = time.time()
        self._run = ended(self._run, job)._replace(
            ended_at_s=now_s, wall_s=now_s - self._run.started_at_s
        )

    def take(self, told: Sequence[store.Event]) -> None:
        """Take what the job's program told so far, all of it: recorded when this closes.

        Not before: a recording holds the events of one program, and that may yet be another.
        """
        if not self._is_told_kept:
            self._told = told

    def whole(self, timeline: Timeline) -> Timeline:
        """Return all that was read: ``timeline`` if it forgot nothing, else the recording's.

        Nothing more is recorded after it.
        """
        is_whole = all(host.reading_count == len(host.at_s) for host in timeline.hosts.values())
        if is_whole or self._directory is None or self._recorder is None:
            return timeline
        self._recorder.close()
        if self._recorder.has_failed:
            return timeline
        read = Timeline(timeline.interval_s, timeline.job)
        read.add_all(one for one in self._directory.read_samples() if one is not None)
        return read

    def close(self, job: Job | None, timeline: Timeline) -> None:
        """End the recording and write its report. ``timeline`` is what was read lately."""
        self.end(job)
        if self._run is None:
            return
        if self._recorder is not None:
            self._recorder.close()
        self._run = self._run._replace(
            monitor_cpu_s=time.process_time(), monitor_memory_bytes=own_cost.memory_bytes()
        )
        self._guarded(self._write_told)
        self._guarded(lambda: self._finish(timeline))

    def _write_told(self) -> None:
        if self._directory is not None and not self._is_told_kept:
            told, self._told, self._is_told_kept = list(self._told), (), True
            self._directory.append_events(told)

    def _finish(self, timeline: Timeline) -> None:
        self._write_run()
        if self._directory is not None and self._run is not None:
            self._directory.write_report(to_json(self.report(self._run, timeline)))

    def report(self, run: store.Run, timeline: Timeline) -> report.Report:
        """Return the report of what was seen. ``run`` is what is recorded, or describes it."""
        run = self._run or run
        events = self._directory.read_events() if self._directory is not None else []
        events += self._told
        thresholds = self._settings.thresholds_for(run.job.queue if run.job is not None else None)
        return report.build(run, timeline, events, 0, thresholds, True, rates=self._settings.rates)


def describe(title: str, job: Job | None, hosts: tuple[str, ...], settings: Settings) -> store.Run:
    """Return the run that watching a job, or hosts, from now on is."""
    now_s = time.time()
    name = (job.name if job is not None else None) or title
    return store.Run(
        id=store.new_id(name, now_s),
        name=name,
        kind="job",
        argv=[],
        cwd=(job.working_directory if job is not None else None) or "",
        user=(job.owner if job is not None else None) or own_cost.user(),
        hosts=list(hosts),
        started_at_s=now_s,
        interval_s=settings.interval_s,
        hpcwatch_version=__version__,
        monitor_pid=os.getpid(),
        monitor_host=os.uname().nodename,
        environment={},
        job=job,
    )


def ended(run: store.Run, job: Job | None) -> store.Run:
    """Return the run with what its job's scheduler says of the end."""
    ending = job.exit if job is not None else None
    return run._replace(
        job=job,
        exit_code=ending.code if ending is not None else None,
        signal=ending.signal if ending is not None else None,
    )


def _why(status: NodeStatus) -> str:
    return status.reason if status.state is NodeState.LOST else status.way
