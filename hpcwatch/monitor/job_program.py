"""What the program of a watched job tells, where its script uses `hpcwatch run`.

A thread of its own reads it: the folder it lies in may hang, and then nobody waits for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor import own_cost
from hpcwatch.monitor.job_runs import Following, InnerRuns
from hpcwatch.monitor.picture import Telling
from hpcwatch.monitor.remote import names_on_nodes
from hpcwatch.recording.store import Event

if TYPE_CHECKING:
    from hpcwatch.monitor.job_runs import Followed

LOOK_S = 2.0
FIND_S = 10.0
_SETTLE_S = 3.0
_WORDS_MOST = 500


class Inside:
    """Follows the newest recording made in a job until ``stop``."""

    def __init__(self, parts: Sequence[Job]) -> None:
        """``parts`` are the job, or its components."""
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
        """Return what follows our own job; None if it is another's, whose files are not ours."""
        owner = parts[0].owner if parts else None
        return cls(parts) if parts and owner in (None, own_cost.user()) else None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look once more, and end. A look that hangs is left behind after a while."""
        self._wake.set()
        self._thread.join(_SETTLE_S)

    def await_look(self, patience_s: float) -> None:
        """Wait until it was looked once, no longer than ``patience_s``."""
        self._has_looked.wait(max(patience_s, 0.0))

    @property
    def telling(self) -> Telling | None:
        """What the program says it is at; None if it does not tell."""
        return self._telling

    @property
    def recent(self) -> tuple[Event, ...]:
        """What rules look at of a program that runs; nothing of one that is over."""
        return self._recent

    @property
    def events(self) -> list[Event]:
        """All that the program told, for a report."""
        return list(self._events)

    def _run(self) -> None:
        is_last = False
        while True:
            with contextlib.suppress(Exception):  # a mistake of ours costs a line of the view
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
