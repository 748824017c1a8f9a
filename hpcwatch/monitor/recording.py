"""Recordings in the making: of a program under `run`, of what `job` and `top` see.

The failure of a recording stops nothing: it is one line, and the watching goes on.
"""

from __future__ import annotations

import _thread
import os
import time

from hpcwatch.analysis.report import Report
from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.monitor import report, run_record
from hpcwatch.monitor.standard_error import attempt
from hpcwatch.probe.schema import Sample
from hpcwatch.recording import store
from hpcwatch.recording.recorder import Recorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.config import Settings
    from hpcwatch.monitor.event_file import Marks
    from hpcwatch.monitor.node_status import NodeStatus


class ProgramEvents:
    """Reads the events. Most programs write none; then the reader is not even imported."""

    def __init__(self, descriptor: int | None, started_s: float) -> None:
        """``descriptor`` is None if the program has no events file."""
        self._descriptor = descriptor
        self._started_s = started_s
        self._marks: Marks | None = None

    def read(self) -> list[store.Event]:
        """Return the new events since the last call. Raises OSError."""
        marks = self._opened()
        return marks.read(time.time()) if marks is not None else []

    def close(self) -> list[store.Event]:
        """Return the last events, with one that counts the events left out. Raises OSError."""
        marks = self._opened()
        return marks.close(time.time()) if marks is not None else []

    def now(self) -> str | None:
        """Return the program's phase in a few words; None if it reports none."""
        if self._marks is None:
            return None
        from hpcwatch.analysis.phases import now_text

        told = self._marks.told
        return now_text(told.phases, told.latest) or None

    def recent(self) -> tuple[store.Event, ...]:
        """Return the recent events for the findings of a running program."""
        return self._marks.told.recent.all() if self._marks is not None else ()

    def _opened(self) -> Marks | None:
        if self._marks is None and self._descriptor is not None:
            if os.fstat(self._descriptor).st_size == 0:
                return None
            from hpcwatch.monitor.event_file import Marks

            self._marks = Marks(self._descriptor, self._started_s)
        return self._marks


_WAITING_MOST = 1000
"""The latest events wait for room on the disk, no more: memory and each try stay small."""
_NODES_IN_FULL = 16
"""With more nodes, several readings of each go into one line."""
_BUDGETS = 8
"""How many times the space of one node a recording of many nodes takes at most."""


class Recording:
    """A run's directory; without one (none could be made) it keeps nothing."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """``say`` takes a line about what went wrong."""
        self._say = say
        self._directory: store.RunDirectory | None = None
        self._recorder: Recorder | None = None

    def _create(self, path: str, run: store.Run, budget_bytes: int, stride_count: int = 1) -> None:
        directory = store.RunDirectory.create(path)
        try:
            directory.write_run(run)
            directory.reserve()
            self._recorder = Recorder(directory, self._say, budget_bytes, stride_count)
        except OSError:
            directory.discard()  # else it would stay in the list, without an end
            raise
        self._directory = directory

    def append(self, sample: Sample) -> None:
        """Keep a sample. Any thread."""
        if self._recorder is not None:
            self._recorder.append(sample)

    def events(self) -> list[store.Event]:
        """Return its events."""
        return self._directory.read_events() if self._directory is not None else []

    def samples(self) -> Iterator[Sample]:
        """Yield its samples. Raises HpcwatchError."""
        if self._directory is not None:
            yield from (one for one in self._directory.read_samples() if one is not None)

    @property
    def is_whole(self) -> bool:
        """True if it holds all samples."""
        return self._recorder is not None and not self._recorder.has_failed

    def whole(self, timeline: Timeline) -> Timeline:
        """Return all samples: ``timeline`` if it is complete, else the recording's.

        Nothing is recorded after this call.
        """
        forgot = any(host.reading_count != len(host.at_s) for host in timeline.hosts.values())
        if not forgot or self._recorder is None:
            return timeline
        self._recorder.close()
        if not self.is_whole:
            return timeline
        recorded = Timeline(timeline.interval_s, timeline.job)
        recorded.add_all(self.samples())
        return recorded


class ProgramRecording(Recording):
    """The recording of `hpcwatch run`: samples and events of one program.

    One caller at a time, except for ``mark``.
    """

    def __init__(self, events: ProgramEvents, say: Callable[[str], None]) -> None:
        super().__init__(say)
        self._events = events
        self._early: list[Sample] = []
        self._marks: list[store.Event] = []
        self._is_begun = False
        self._keeps_folder = False

    def place(self, run: store.Run, output: str | None, budget_bytes: int) -> None:
        """Make the run's directory: as --output says; without it, or if that fails, in the store.

        What a user named stays a folder, however short the run. Raises HpcwatchError, OSError.
        """
        if output is not None:
            try:
                self._create(output, run, budget_bytes)
                if run.sweep_id is None and self._directory is not None:
                    store.link(self._directory, run.id)  # a sweep lists its tasks itself
                    self._keeps_folder = True
                return
            except (HpcwatchError, OSError) as error:
                self._say(f"{error}; recording in {store.root()} instead")
        self._create(os.path.join(store.root(), run.id), run, budget_bytes)

    def begin(self) -> None:
        """Record what came until now, and what comes from now on."""
        self._is_begun = True
        for sample in self._early:
            self.keep(sample)
        self._early = []

    def take(self, sample: Sample) -> None:
        """Record a sample and the program's events so far; before ``begin`` they are buffered."""
        if not self._is_begun:
            self._early.append(sample)
            return
        attempt(self._say, "events not read", self._read_events)
        self.keep(sample)

    def keep(self, sample: Sample) -> None:
        """Record a sample and the events noted until then."""
        self.append(sample)
        attempt(self._say, "event not recorded", self._write_marks)

    def mark(self, event: store.Event) -> None:
        """Note an event, to be recorded with the next sample. Any thread may call it."""
        self._marks.append(event)

    def keep_now(self, event: store.Event) -> None:
        """Record an event at once, with the events and samples that wait."""
        self._marks.append(event)
        if self._is_begun:
            attempt(self._say, "event not recorded", self._write_marks)

    def _read_events(self) -> None:
        self._marks += self._events.read()

    def _write_marks(self) -> None:
        marks, self._marks = self._marks, []
        if not marks or self._directory is None:
            return
        try:
            self._directory.append_events(marks)
        except OSError:
            # There may be room with the next sample. On a disk that stays full, only so many wait.
            self._marks[:0] = marks  # in place: another thread may add one now
            del self._marks[:-_WAITING_MOST]
            raise

    def close(self) -> None:
        """Record the last events and what is still pending; a failure is reported."""
        attempt(self._say, "event not recorded", self._close_events)
        if self._recorder is not None:
            attempt(self._say, "recording not closed", self._recorder.close)

    def _close_events(self) -> None:
        self._marks += self._events.close()
        self._write_marks()

    def save(self, run: store.Run, made: Report) -> store.RunDirectory | None:
        """Write how the run ended, and its report; return the directory if both succeeded."""
        directory = self._directory
        if directory is None:
            return None
        if not self._keeps_folder and self._is_packed(directory, run, made):
            self._directory = None  # nothing can be added any more
            return directory
        is_saved = attempt(
            self._say, "how it ended is not recorded", lambda: directory.write_run(run)
        ) and attempt(self._say, "report not saved", lambda: directory.write_report(to_json(made)))
        return directory if is_saved else None

    def _is_packed(self, directory: store.RunDirectory, run: store.Run, made: Report) -> bool:
        """Make one file of it; False if it is too long, or if that fails."""
        results: list[bool] = []

        def step() -> None:
            results.append(directory.pack(run, lambda: to_json(made)))

        attempt(self._say, "not made one file", step)
        return any(results)


class WatchRecording(Recording):
    """The recording of what `hpcwatch job` sees, made when the first node is about to be read."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], is_recorded: bool = True
    ) -> None:
        """Without ``is_recorded`` it only describes the run."""
        super().__init__(say)
        self._settings = settings
        self._is_recorded = is_recorded
        self._run: store.Run | None = None
        self._lost: set[str] = set()
        self._told: Sequence[store.Event] = ()
        self._is_told_kept = False
        self._lock = _thread.allocate_lock()

    @property
    def run_id(self) -> str | None:
        """The run's id; None if nothing is recorded."""
        return self._run.id if self._run is not None and self._directory is not None else None

    def open(self, title: str, job: Job | None, hosts: tuple[str, ...]) -> None:
        """Begin a recording."""
        run = self._run = run_record.of_job(title, job, hosts, self._settings)
        if self._is_recorded:
            path = os.path.join(store.root(), run.id)
            budget_bytes = self._settings.budget_bytes * min(len(hosts), _BUDGETS)
            stride_count = -(-len(hosts) // _NODES_IN_FULL)
            self._guarded(lambda: self._create(path, run, budget_bytes, stride_count))

    def _guarded(self, step: Callable[[], None]) -> None:
        attempt(self._say, "not recorded", step)

    def mark(self, status: NodeStatus) -> None:
        """Record that a node was lost or found again. Any thread."""
        from hpcwatch.monitor.node_status import NodeState

        is_lost = status.state is NodeState.LOST
        with self._lock:
            if is_lost == (status.host in self._lost) or status.state is NodeState.CONNECTING:
                return
            (self._lost.add if is_lost else self._lost.discard)(status.host)
            why = {"reason": status.reason} if is_lost else {"way": status.way}
            name = "node lost" if is_lost else "node found"
            self._append_event(store.Event(time.time(), name, {"host": status.host, **why}))

    def event(self, event: store.Event) -> None:
        """Record an event of our own. Any thread."""
        with self._lock:
            self._append_event(event)

    def _append_event(self, event: store.Event) -> None:
        directory = self._directory
        if directory is not None:
            self._guarded(lambda: directory.append_event(event))

    def job_changed(self, job: Job | None) -> None:
        """Record the scheduler's answer now, in case we are killed."""
        if self._run is not None:
            self._run = self._run._replace(job=job)
            self._guarded(self._write_run)

    def _write_run(self) -> None:
        if self._directory is not None and self._run is not None:
            self._directory.write_run(self._run)

    def end(self, job: Job | None) -> None:
        """Note the time of the end. Only the first call counts."""
        if self._run is None or self._run.ended_at_s is not None:
            return
        now_s = time.time()
        self._run = run_record.job_ended(self._run, job)._replace(
            ended_at_s=now_s, wall_s=now_s - self._run.started_at_s
        )

    def take(self, told: Sequence[store.Event]) -> None:
        """Take all events of the job's program so far; they are recorded at the close.

        Not earlier: a recording holds the events of one program, and another may still follow.
        """
        if not self._is_told_kept:
            self._told = told

    def close(self, job: Job | None, timeline: Timeline) -> None:
        """End the recording and write its report. ``timeline`` holds the latest samples."""
        self.end(job)
        if self._run is None:
            return
        if self._recorder is not None:
            self._recorder.close()
        self._run = self._run._replace(
            monitor_cpu_s=time.process_time(), monitor_memory_bytes=run_record.memory_bytes()
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

    def report(self, run: store.Run, timeline: Timeline) -> Report:
        """Return the report of the run."""
        events = [*self.events(), *self._told]
        return report.of_job(self._run or run, timeline, events, self._settings)
