"""Short ids of runs: the mark at the end of an id, where it names one run only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from hpcwatch.recording.store import Run

_MARKED = re.compile(r"\d{8}-\d{6}-.+-(?P<mark>[0-9a-f]{6})")
"""An id as ``store.new_id`` makes it."""


def short_ids(runs: Iterable[Run]) -> dict[str, str]:
    """Return id -> the shortest text that `hpcwatch report` takes for this run alone.

    It is the whole id if other runs end the same way, or if a job or a run is called like the mark.
    """
    every = list(runs)
    marks = {run.id: mark_of(run.id) for run in every}
    counts = Counter(marks.values())
    taken = {run.name for run in every}
    for run in every:
        if run.job is not None:
            number = run.job.id.partition(".")[0]
            taken |= {run.job.id, number, number.partition("[")[0], run.job.raw_id or ""}
            taken.add(run.job.array_id or "")
    return {
        run_id: mark if mark and counts[mark] == 1 and mark not in taken else run_id
        for run_id, mark in marks.items()
    }


def mark_of(run_id: str) -> str | None:
    """Return the mark at the end of an id that hpcwatch made; None if it has none."""
    match = _MARKED.fullmatch(run_id)
    return match["mark"] if match is not None else None
