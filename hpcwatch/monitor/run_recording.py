"""The recording of `hpcwatch run`: samples and events on their way to the run's directory."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hpcwatch.analysis import report
from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.monitor.notes import Complaints
from hpcwatch.monitor.program_events import ProgramEvents
from hpcwatch.probe.schema import Sample
from hpcwatch.recording import store
from hpcwatch.recording.recorder import Recorder


class Recording:
    """Keeps what comes; without a directory (none could be made) it keeps nothing.

    One caller at a time, but for ``mark``.
    """

    def __init__(self, events: ProgramEvents, complaints: Complaints) -> None:
        self._events = events
        self._complaints = complaints
        self._early: list[Sample] = []
        self._marks: list[store.Event] = []
        self._is_begun = False
        self._directory: store.RunDirectory | None = None
        self._recorder: Recorder | None = None

    def place(self, run: store.Run, output: str | None, budget_bytes: int) -> None:
        """Make the run's directory: where --output says, else, or if that fails, at home.

        Raises HpcwatchError, OSError.
        """
        if output is not None:
            try:
                directory = self._open(output, run, budget_bytes)
                if run.sweep_id is None:  # a sweep keeps the list of its tasks itself
                    store.link(directory, run.id)
                return
            except (HpcwatchError, OSError) as error:
                self._complaints.say(f"{error}; recording in {store.root()} instead")
        self._open(os.path.join(store.root(), run.id), run, budget_bytes)

    def _open(self, path: str, run: store.Run, budget_bytes: int) -> store.RunDirectory:
        directory = store.RunDirectory.create(path)
        directory.write_run(run)
        directory.reserve()
        self._recorder = Recorder(directory, self._complaints.say, budget_bytes)
        self._directory = directory
        return directory

    def begin(self) -> None:
        """Keep what came until now, and what comes from now on."""
        self._is_begun = True
        for sample in self._early:
            self.keep(sample)
        self._early = []

    def take(self, sample: Sample) -> None:
        """Keep a sample and the program's events until then; before ``begin`` they wait."""
        if not self._is_begun:
            self._early.append(sample)
            return
        self._complaints.guarded("events not read", self._read_events)
        self.keep(sample)

    def keep(self, sample: Sample) -> None:
        """Keep a sample and what was marked until then."""
        if self._recorder is not None:
            self._recorder.append(sample)
        self._complaints.guarded("event not recorded", self._write_marks)

    def mark(self, event: store.Event) -> None:
        """Note an event, to be kept with the next sample. Any thread."""
        self._marks.append(event)

    def keep_now(self, event: store.Event) -> None:
        """Keep an event, and what was marked and merged until now."""
        self._marks.append(event)
        if self._is_begun:
            self._complaints.guarded("event not recorded", self._write_marks)

    def _read_events(self) -> None:
        self._marks += self._events.read()

    def _write_marks(self) -> None:
        marks, self._marks = self._marks, []
        if marks and self._directory is not None:
            self._directory.append_events(marks)

    def close(self) -> None:
        """Keep the last events and what is still pending; a failure is said."""
        self._complaints.guarded("event not recorded", self._close_events)
        if self._recorder is not None:
            self._complaints.guarded("recording not closed", self._recorder.close)

    def _close_events(self) -> None:
        self._marks += self._events.close()
        self._write_marks()

    @property
    def is_whole(self) -> bool:
        """True if it holds all samples."""
        return self._recorder is not None and not self._recorder.has_failed

    def samples(self) -> Iterator[Sample]:
        """Yield those that it holds. Raises HpcwatchError."""
        if self._directory is not None:
            yield from (one for one in self._directory.read_samples() if one is not None)

    def events(self) -> list[store.Event]:
        """Return those that it holds."""
        return self._directory.read_events() if self._directory is not None else []

    def save(self, run: store.Run, made: report.Report) -> store.RunDirectory | None:
        """Write how the run ended, and its report; return where if both are kept."""
        directory = self._directory
        if directory is None:
            return None
        try:
            directory.write_run(run)
        except OSError as error:
            self._complaints.say(f"how it ended is not recorded: {os_reason(error)}")
            return None
        try:
            directory.write_report(to_json(made))
        except OSError as error:
            self._complaints.say(f"report not saved: {os_reason(error)}")
            return None
        return directory
