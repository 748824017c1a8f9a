"""The events of a watched job's program, if its script uses `hpcwatch run`.

They are read on a separate thread: their folder may hang, and then no other thread waits.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor.job_runs import Following, InnerRuns
from hpcwatch.monitor.picture import Telling
from hpcwatch.monitor.remote import names_on_nodes
from hpcwatch.probe.listing import login_name
from hpcwatch.recording.store import Event

if TYPE_CHECKING:
    from hpcwatch.monitor.job_runs import Followed

LOOK_S = 2.0
FIND_S = 10.0
_SETTLE_S = 3.0
_WORDS_MOST = 500


class Inside:
    """Follows the newest recording made inside a job until ``stop``."""

    def __init__(self, parts: Sequence[Job]) -> None:
        """``parts`` holds the job, or its components."""
        names = {name for part in parts for name in names_on_nodes(part)}
        self._following = Following(InnerRuns(names, parts[0].started_at_s))
        self._wake = threading.Event()
        self._has_looked = threading.Event()
        self._found_s: float | None = None
        self._telling: Telling | None = None
        self._recent: tuple[Event, ...] = ()
        self._events: Sequence[Event] = ()
        self._thread = threading.Thread(target=self._run, name="hpcwatch-inside", daemon=True)

    @classmethod
    def of(cls, parts: Sequence[Job]) -> Inside | None:
        """Return a follower of our own job; None for a job of another user."""
        owner = parts[0].owner if parts else None
        return cls(parts) if parts and owner in (None, login_name(os.getuid())) else None

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def stop(self) -> None:
        """Look once more, then stop. A look that hangs is abandoned after a while."""
        self._wake.set()
        self._thread.join(_SETTLE_S)

    def await_look(self, patience_s: float) -> None:
        """Wait for the first look, at most ``patience_s``."""
        self._has_looked.wait(max(patience_s, 0.0))

    @property
    def telling(self) -> Telling | None:
        """The phase that the program reports; None if it reports none."""
        return self._telling

    @property
    def recent(self) -> tuple[Event, ...]:
        """The events for the rules, of a program that runs; none of a finished one."""
        return self._recent

    @property
    def events(self) -> list[Event]:
        """All events of the program, for a report."""
        return list(self._events)

    def _run(self) -> None:
        is_last = False
        while True:
            with contextlib.suppress(Exception):  # a bug of ours costs a line of the view
                self._look(is_last)
            self._has_looked.set()
            if is_last:
                return
            is_last = self._wake.wait(LOOK_S)

    def _look(self, is_last: bool) -> None:
        now_s = time.monotonic()
        if is_last or self._found_s is None or now_s - self._found_s >= FIND_S:
            self._found_s = now_s
            self._following.find()
        else:
            self._following.read()
        followed = self._following.followed
        if followed is None:
            self._telling, self._recent, self._events = None, (), ()
            return
        is_going = followed.inner.is_going
        self._telling = _telling(followed, self._following.going_count)
        self._recent = followed.told.recent.all() if is_going else ()
        self._events = followed.events


def _telling(followed: Followed, going_count: int) -> Telling | None:
    from hpcwatch.analysis.phases import now_text

    words = now_text(followed.told.phases, followed.told.latest)[:_WORDS_MOST]
    run, is_going = followed.inner.run, followed.inner.is_going
    return Telling(run.name, words, is_going, going_count) if words else None
