"""Exports a program that `hpcwatch run` watches in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.config import Settings
from hpcwatch.export.scene import Made, Numbers, Scene, about_run
from hpcwatch.export.states import LOOKING_S, Freshness, states
from hpcwatch.monitor.live_findings import About as Told
from hpcwatch.monitor.live_findings import Looking
from hpcwatch.recording.store import Event, Run


class Program:
    """A program that `hpcwatch run` watches in this process."""

    def __init__(
        self,
        run: Callable[[], Run],
        timeline: Timeline,
        lock: AbstractContextManager[object],
        settings: Settings,
        events: Callable[[], tuple[Event, ...]],
    ) -> None:
        """``run`` and ``events`` return the present state; ``lock`` guards the timeline."""
        self._run = run
        self._timeline = timeline
        self._lock = lock
        self._events = events
        self._looking = Looking(settings)
        self._fresh = Freshness(timeline.interval_s)
        self._own = threading.Lock()

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        """Return the present numbers. See ``Source``."""
        run, events = self._run(), self._events()
        told = Told(events, run.environment, run.started_at_s, is_program=True)
        with self._own, self._lock:
            is_up = states(self._timeline, self._fresh, run)
            lost = [name for name, is_there in is_up.items() if not is_there]
            self._looking.look_around(self._timeline, lost, told, LOOKING_S)
            found = self._looking.found()
            about = about_run(run)
            return Numbers.of(Scene(about, self._timeline, is_up, found, is_last), made)
