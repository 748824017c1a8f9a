"""Pictures of a recording at any of its moments, for `hpcwatch replay`."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.analysis.timeline import Timeline, most_samples
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.config import Settings
from hpcwatch.monitor.live_findings import About, Looking
from hpcwatch.monitor.node_status import LATE_INTERVALS, NodeState, NodeStatus, late_after_s
from hpcwatch.monitor.picture import Picture
from hpcwatch.monitor.recent_events import RecentEvents
from hpcwatch.recording.playback import Clock, Recording
from hpcwatch.recording.store import Event, Run

_LEAP = 30_000
"""The most samples to read after a leap: two seconds' work, minutes of each of many nodes."""
_LOOKING_S = 0.03
"""How long the rules are asked for one picture, in seconds; the rest is asked for the next one."""
STEP_S, LONG_STEP_S = 10.0, 60.0
_PARTS = 10


class _Mark(NamedTuple):
    """A node that was lost or found."""

    at_s: float
    is_lost: bool
    why: str
    """The reason, or the way it is read."""


class Replayer:
    """A recording with a replay clock, and the keys that move it."""

    hints: Sequence[str] = ("Space pause", "←→ 10 s", "[ ] 1 min", "+ - speed")
    help: Sequence[tuple[str, str]] = (
        ("Space  p", "pause or continue; at the end start again"),
        ("← →", "10 s back, 10 s on"),
        ("Shift-← Shift-→  [ ]", "one minute back or forward"),
        ("{ }", "a tenth of the recording back or forward"),
        ("+ -", "faster, slower"),
    )

    def __init__(
        self,
        run: Run,
        recording: Recording,
        events: list[Event],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._run = run
        self._recording = recording
        self._settings = settings
        self._clock = clock
        self._marks = _marks(events)
        self._events = sorted(events, key=lambda event: event.at_s)
        hosts_count = max(len(run.hosts), 1)
        self._most = most_samples(hosts_count)
        self._history_count = self._most * hosts_count
        self._job = run.job
        self._running = run.job and run.job._replace(
            state=JobState.RUNNING, raw_state="", ended_at_s=None, exit=None, usage=None
        )
        self._statuses: dict[str, NodeStatus] = {}
        self._now_s = recording.start_s
        self._begin(0)

    def _begin(self, first: int) -> None:
        """Drop the state, and start again from one of the samples."""
        self._next = first
        self._recent, self._next_event = RecentEvents(), 0
        self._timeline = Timeline(self._run.interval_s, self._running, self._most)
        self._looking = Looking(self._settings, lambda: self._now_s)

    def picture(self, is_patient: bool = False) -> Picture:
        """Return the picture of this moment.

        With ``is_patient`` all hosts' rules are evaluated, however long that takes.
        """
        now_s = self._now_s = self._recording.start_s + self._clock.at_s
        self._go_to(now_s, self._history_count if is_patient else _LEAP)
        self._look(now_s, is_patient)
        job = self._job if self._clock.is_at_end else self._running
        return Picture(
            title=self._run.name,
            job=job,
            parts=(job,) if job is not None else (),
            sources=(),
            statuses=self._all_statuses(now_s),
            timeline=self._timeline,
            findings=self._looking.found(),
            at_s=now_s,
            monotonic_s=now_s,
            interval_s=self._run.interval_s,
            replayed=self._clock.words,
            events=self._recent.all(),
        )

    def _go_to(self, now_s: float, most: int) -> None:
        """Read the samples up to a time; after a leap only those that views and rules need."""
        last = self._recording.count_until(now_s)
        first = max(last - min(self._history_count, most), 0)
        if last < self._next or first > self._next:
            self._begin(first)
        self._timeline.add_all(self._recording.samples(self._next, last))
        self._next = last
        while self._next_event < len(self._events) and self._events[self._next_event].at_s <= now_s:
            self._recent.add(self._events[self._next_event])
            self._next_event += 1

    def _look(self, now_s: float, is_patient: bool) -> None:
        """Ask the rules, as the live view of a job does."""
        run, events = self._run, self._recent.all()
        about = About(events, run.environment, run.started_at_s, is_program=run.kind != "job")
        lost = [name for name in self._timeline.hosts if self._is_lost(name, now_s)]
        most_s = math.inf if is_patient else _LOOKING_S
        self._looking.look_around(self._timeline, lost, about, most_s)

    def _all_statuses(self, now_s: float) -> tuple[NodeStatus, ...]:
        names = dict.fromkeys([*self._run.hosts, *self._timeline.hosts])
        for name in names:
            status, before = self._status(name, now_s), self._statuses.get(name)
            if status != before:  # the same object means that nothing is new
                self._statuses[name] = status
        return tuple(self._statuses[name] for name in names)

    def _status(self, name: str, now_s: float) -> NodeStatus:
        """Return a node's status at that time, as far as the recording holds it."""
        host, mark = self._timeline.hosts.get(name), self._mark(name, now_s)
        last_s = host.at_s[-1] if host is not None else None
        if mark is not None and mark.is_lost:
            return NodeStatus(name, NodeState.LOST, mark.at_s, mark.why, last_at_s=last_s)
        way = mark.why if mark is not None else ""
        if host is None or last_s is None:
            return NodeStatus(name, NodeState.CONNECTING, self._recording.start_s, "", way)
        late_s = late_after_s(self._run.interval_s)
        if now_s - last_s <= max(late_s, LATE_INTERVALS * host.span_s[-1]):
            return NodeStatus(name, NodeState.LIVE, host.at_s[0], "", way, last_s)
        return NodeStatus(name, NodeState.STALE, last_s, "its readings are late", way, last_s)

    def _is_lost(self, name: str, now_s: float) -> bool:
        mark = self._mark(name, now_s)
        return mark is not None and mark.is_lost

    def _mark(self, name: str, now_s: float) -> _Mark | None:
        marks = self._marks.get(name, [])
        place = bisect_right([mark.at_s for mark in marks], now_s)
        return marks[place - 1] if place else None

    def press(self, key: str) -> bool:
        """Move the clock. See ``Controls.press``."""
        clock = self._clock
        tenth_s = self._recording.length_s / _PARTS
        steps_s = {
            "left": -STEP_S,
            "right": STEP_S,
            "shift-left": -LONG_STEP_S,
            "shift-right": LONG_STEP_S,
            "[": -LONG_STEP_S,
            "]": LONG_STEP_S,
            "{": -tenth_s,
            "}": tenth_s,
        }
        if key in steps_s:
            clock.seek(clock.at_s + steps_s[key])
        elif key in (" ", "p"):
            clock.pause()
        elif key in ("+", "=", "-"):
            clock.change_speed(-1 if key == "-" else 1)
        else:
            return False
        return True

    def refresh(self) -> None:
        """Do nothing: a recording does not change."""

    def open_job(self, job_id: str) -> None:
        """Do nothing: a recording is of one job."""

    def name_all(self, hosts: frozenset[str]) -> None:
        """Do nothing: a recording names the largest processes only."""

    def follow_log(self, is_shown: bool) -> None:
        """Do nothing: a recording has no output of the job."""


def _marks(events: list[Event]) -> dict[str, list[_Mark]]:
    """Return a node's lost and found events in the order of their times."""
    made: dict[str, list[_Mark]] = {}
    for event in sorted(events, key=lambda one: one.at_s):
        if event.name in ("node lost", "node found"):
            is_lost = event.name == "node lost"
            why = str(event.fields.get("reason" if is_lost else "way", ""))
            mark = _Mark(event.at_s, is_lost, why)
            made.setdefault(str(event.fields.get("host", "")), []).append(mark)
    return made
