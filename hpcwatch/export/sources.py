"""What is exported while it runs: a program of ours, a watched job, a growing recording."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.timeline import HostTimeline, Timeline, most_samples
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.base.reading import Growing
from hpcwatch.config import Settings
from hpcwatch.export.scene import About, Made, Numbers, Scene, about_job, about_run
from hpcwatch.monitor.live_findings import About as Told
from hpcwatch.monitor.live_findings import Looking
from hpcwatch.monitor.node_status import LATE_INTERVALS, NodeState, late_after_s
from hpcwatch.monitor.recent_events import RecentEvents
from hpcwatch.monitor.watch import Watch
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

_LOOKING_S = 0.05
"""How long the rules may be asked for one scrape; the rest is asked for the next one."""
_BEHIND_BYTES = 64 << 20
"""Of a longer recording only the end is read: what is exported is the present."""


class Freshness:
    """Whether readings of hosts arrive, by our own clock: those of nodes may differ."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._seen: dict[str, tuple[float, float]] = {}
        """Host -> the time of its last sample, and when we saw that one first."""

    def is_up(self, host: HostTimeline, now_s: float) -> bool:
        """Return False if the last sample is late; ``now_s`` is ``time.monotonic``."""
        if not host.at_s:
            return False
        last_s, since_s = self._seen.get(host.name, (0.0, 0.0))
        if last_s != host.at_s[-1]:
            self._seen[host.name] = host.at_s[-1], now_s
            return True
        late_s = max(late_after_s(self._interval_s), LATE_INTERVALS * host.span_s[-1])
        return now_s - since_s <= late_s


class Watched:
    """A job that is watched on its nodes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    @property
    def is_over(self) -> bool:
        """The job has ended."""
        job = self._watch.known.job
        return job is not None and job.has_ended

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        """Return what the live view would show now. See ``Source``."""
        with self._watch.lock:
            scene = self._scene()
            return Numbers.of(scene._replace(is_over=scene.is_over or is_last), made)

    def _scene(self) -> Scene:
        picture = self._watch.picture()
        job = picture.job
        about = About() if job is None else about_job(job)
        is_up = {
            one.host: one.state is NodeState.LIVE
            for one in picture.statuses
            if one.state is not NodeState.CONNECTING
        }
        is_over = job is not None and job.has_ended
        return Scene(about, picture.timeline, is_up, list(picture.findings), is_over)


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
        """``run`` and ``events`` return what is known now; ``lock`` guards the timeline."""
        self._run = run
        self._timeline = timeline
        self._lock = lock
        self._events = events
        self._looking = Looking(settings)
        self._fresh = Freshness(timeline.interval_s)
        self._own = threading.Lock()

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        """Return what is known now. See ``Source``."""
        run, events = self._run(), self._events()
        told = Told(events, run.environment, run.started_at_s, is_program=True)
        with self._own, self._lock:
            is_up = _states(self._timeline, self._fresh, run)
            lost = [name for name, is_there in is_up.items() if not is_there]
            self._looking.look_around(self._timeline, lost, told, _LOOKING_S)
            found = self._looking.found()
            about = about_run(run)
            return Numbers.of(Scene(about, self._timeline, is_up, found, is_last), made)


class Following:
    """A recording that another hpcwatch writes, read as it grows."""

    def __init__(self, directory: RunDirectory, settings: Settings) -> None:
        """Read what there is so far. Raises HpcwatchError."""
        self._directory = directory
        run = self._told = directory.read_run()
        self._timeline = Timeline(run.interval_s, run.job, most_samples(len(run.hosts)))
        self._samples = Growing(directory.file(SAMPLES_FILE), behind_bytes=_BEHIND_BYTES)
        self._event_lines = Growing(directory.file(EVENTS_FILE), behind_bytes=_BEHIND_BYTES)
        self._events = RecentEvents()
        self._lost: set[str] = set()
        self._looking = Looking(settings)
        self._fresh = Freshness(run.interval_s)
        self._lock = threading.Lock()
        self._found: list[Finding] = []

    @property
    def is_over(self) -> bool:
        """Nobody writes the recording any more, or it is gone."""
        try:
            self._told = self._directory.read_run()
        except HpcwatchError:
            return True
        return not is_being_made(self._directory, self._told)

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        """Read what is new, and return what is known now. See ``Source``. Raises HpcwatchError."""
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
        except FileNotFoundError:  # its first sample is still to come
            pass
        except OSError as error:
            raise HpcwatchError(f"cannot read {self._directory.path}", os_reason(error)) from None
        try:
            for line in self._event_lines.new_lines():
                event = event_from(line)
                if event is not None:
                    self._tell(event)
        except OSError:
            pass  # most runs have none

    def _tell(self, event: Event) -> None:
        host = str(event.fields.get("host", ""))
        if event.name == "node lost":
            self._lost.add(host)
        elif event.name == "node found":
            self._lost.discard(host)
        else:
            self._events.add(event)

    def _states(self) -> Mapping[str, bool]:
        states = _states(self._timeline, self._fresh, self._told)
        return {**states, **dict.fromkeys(self._lost, False)}

    def _look(self, run: Run, is_up: Mapping[str, bool]) -> None:
        lost = [name for name, is_there in is_up.items() if not is_there]
        told = Told(
            self._events.all(), run.environment, run.started_at_s, is_program=run.kind != "job"
        )
        self._looking.look_around(self._timeline, lost, told, _LOOKING_S)
        self._found = self._looking.found()


def _states(timeline: Timeline, fresh: Freshness, run: Run) -> dict[str, bool]:
    """Return whether the readings of each host arrive; a host that was never read is unknown."""
    now_s = time.monotonic()
    known = {name: fresh.is_up(host, now_s) for name, host in timeline.hosts.items()}
    names = dict.fromkeys([*run.hosts, *known])
    return {name: known[name] for name in names if name in known}
