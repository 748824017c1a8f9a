"""The table of `hpcwatch jobs --watch`: running jobs as their scheduler sees them. No terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.views.jobs.flags import elapsed_s, used
from hpcwatch.views.jobs.jobs_table import JobRow, flag_span
from hpcwatch.views.live.picker import Picker
from hpcwatch.views.text import Line, Span, fit


class Shown(NamedTuple):
    """What the table shows now."""

    title: str
    rows: Sequence[JobRow]
    now_s: float
    note: str = ""
    """What is wrong, or not known; empty if nothing."""


class Order(NamedTuple):
    """An order of the rows."""

    name: str
    key: Callable[[Job, float], float] | None
    """The lowest comes first; None: the scheduler's own order."""


def _left_s(job: Job, now_s: float) -> float:
    ran_s = elapsed_s(job, now_s)
    return job.walltime_s - ran_s if ran_s is not None and job.walltime_s else float("inf")


def _cores_share(job: Job, now_s: float) -> float:
    use = used(job, now_s)
    return use.cores / use.cores_count if use.cores is not None and use.cores_count else 2.0


def _memory_share(job: Job, now_s: float) -> float:
    use = used(job, now_s)
    is_known = use.memory_bytes is not None and use.memory_asked_bytes
    return -use.memory_bytes / use.memory_asked_bytes if is_known else 1.0  # type: ignore[operator]


ORDERS = (
    Order("started first", None),
    Order("least time left", _left_s),
    Order("fewest cores used", _cores_share),
    Order("memory most full", _memory_share),
)


class JobsPage(Picker):
    """A list that goes on: rows come and go, and the selection stays on its job."""

    keys = "↑↓ choose  Enter open  p probe  s sort  / filter  r refresh  q quit"

    def __init__(
        self,
        source: Callable[[], Shown],
        probe: Callable[[Job], None],
        refresh: Callable[[], None],
    ) -> None:
        """``source`` is asked at each repaint; ``probe`` begins or ends reading a job's nodes."""
        self._source, self._probe, self._refresh = source, probe, refresh
        self._order = ORDERS[0]
        super().__init__("", (), 0.0)

    def lines(self, width: int, height: int) -> list[Line]:
        """Return ``height`` lines of what is known now, none wider than ``width``."""
        shown = self._source()
        self._title, self._now_s = shown.title, shown.now_s
        self._all = self._ordered(shown)
        self._search(self._filter)
        made = super().lines(width, height)
        if not self._all and height > 2:
            made[1] = fit([Span(f" {clean(shown.note) or 'no job runs'}", "dim")], width)
        elif height > 4:
            made[-2] = fit(self._below(shown.note), width)
        return made

    def _below(self, note: str) -> Line:
        """Return what is wrong, else the selected job's flags, for which a row has no room."""
        if note:
            return [Span(f" {clean(note)}", "warning")]
        flags = self._rows[self._listing.index].flags if self._rows else ()
        return [part for flag in flags for part in (Span(" "), flag_span(flag), Span(" "))]

    def _ordered(self, shown: Shown) -> list[JobRow]:
        key = self._order.key
        if key is None:
            return list(shown.rows)
        return sorted(shown.rows, key=lambda row: key(row.job, shown.now_s))

    def press(self, key: str) -> None:
        """Take a key: the list's own first."""
        if self._is_typing or key not in ("s", "p", "r"):
            super().press(key)
        elif key == "s":
            self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]
        elif key == "r":
            self._refresh()
        elif self._rows:
            self._probe(self._rows[self._listing.index].job)

    def reopen(self) -> None:
        """Show the list again after a job was opened."""
        self.is_over, self.chosen = False, None

    def _foot(self, seen: range) -> Line:
        foot = super()._foot(seen)
        return foot if self._is_typing else [*foot, Span(f"  by {self._order.name}", "dim")]
