"""Exports a recording that another hpcwatch is writing."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.timeline import Timeline, most_samples
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.base.reading import Growing
from hpcwatch.config import Settings
from hpcwatch.export.scene import Made, Numbers, Scene, about_run
from hpcwatch.export.states import LOOKING_S, Freshness, states
from hpcwatch.monitor.live_findings import About as Told
from hpcwatch.monitor.live_findings import Looking
from hpcwatch.monitor.recent_events import RecentEvents
from hpcwatch.probe.schema import from_line
from hpcwatch.recording.removal import is_being_made
from hpcwatch.recording.store import (
    EVENTS_FILE,
    SAMPLES_FILE,
    Event,
    Run,
    RunDirectory,
    event_from,
)

_BEHIND_BYTES = 64 << 20
"""A longer recording is read from its end only: just the present state is exported."""


class Following:
    """Reads a recording as it grows."""

    def __init__(self, directory: RunDirectory, settings: Settings) -> None:
        """Read what is recorded so far. Raises HpcwatchError."""
        self._directory = directory
        run = self._told = directory.read_run()
        self._timeline = Timeline(run.interval_s, run.job, most_samples(len(run.hosts)))
        self._samples = self._growing(SAMPLES_FILE)
        self._event_lines = self._growing(EVENTS_FILE)
        self._events = RecentEvents()
        self._lost: set[str] = set()
        self._looking = Looking(settings)
        self._fresh = Freshness(run.interval_s)
        self._lock = threading.Lock()
        self._found: list[Finding] = []

    def _growing(self, name: str) -> Growing:
        directory = self._directory
        path = directory.file(name)
        return Growing(path, behind_bytes=_BEHIND_BYTES, instead=directory.packed)

    @property
    def is_over(self) -> bool:
        """True if the recording is not written any more, or was removed."""
        try:
            self._told = self._directory.read_run()
        except HpcwatchError:
            return True
        return not is_being_made(self._directory, self._told)

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        """Read new samples; return the present numbers. See ``Source``. Raises HpcwatchError."""
        with self._lock:
            self._read()
            run, is_over = self._told, self.is_over or is_last
            is_up = {} if is_over else self._states()
            if not is_over:
                self._look(run, is_up)
            about = about_run(run)
            return Numbers.of(Scene(about, self._timeline, is_up, self._found, is_over), made)

    def _read(self) -> None:
        run = self._told = self._directory.read_run()
        self._timeline.job = run.job
        try:
            for line in self._samples.new_lines():
                try:
                    self._timeline.add(from_line(line.decode("utf-8", "replace")))
                except ValueError:
                    continue
        except FileNotFoundError:  # no sample was recorded yet
            pass
        except OSError as error:
            raise HpcwatchError(f"cannot read {self._directory.path}", os_reason(error)) from None
        try:
            for line in self._event_lines.new_lines():
                event = event_from(line)
                if event is not None:
                    self._tell(event)
        except OSError:
            pass  # most runs have no events

    def _tell(self, event: Event) -> None:
        host = str(event.fields.get("host", ""))
        if event.name == "node lost":
            self._lost.add(host)
        elif event.name == "node found":
            self._lost.discard(host)
        else:
            self._events.add(event)

    def _states(self) -> Mapping[str, bool]:
        known = states(self._timeline, self._fresh, self._told)
        return {**known, **dict.fromkeys(self._lost, False)}

    def _look(self, run: Run, is_up: Mapping[str, bool]) -> None:
        lost = [name for name, is_there in is_up.items() if not is_there]
        told = Told(
            self._events.all(), run.environment, run.started_at_s, is_program=run.kind != "job"
        )
        self._looking.look_around(self._timeline, lost, told, LOOKING_S)
        self._found = self._looking.found()
