"""Earlier runs of the same program: the few figures that a report compares."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from hpcwatch.recording.lookup import readable, run_names
from hpcwatch.recording.store import Run, RunDirectory, name_letters

MOST_RUNS = 60
"""How many earlier runs advice rests on at most."""
MOST_READ = 3000
"""How many runs a track record is read from at most."""
_MOST_SHOWN = 5
_MOST_OPENED = 150
_ID = re.compile(r"\d{8}-\d{6}-(.*)-[0-9a-f]{6}", re.ASCII | re.DOTALL)
"""A directory's name as the store makes it: start, name, and a mark."""
_MOST_FIGURE = 1e18  # no real figure of a run is as large


class EarlierRun(NamedTuple):
    """The figures of an earlier run of the same name. None is unknown."""

    id: str
    started_at_s: float
    wall_s: float | None
    how: str
    """``ok``, ``exit 3``, ``signal 9``, ``unfinished``."""
    cores_used_mean: float | None
    memory_peak_bytes: float | None
    gpu_util_mean_pct: float | None


def earlier_runs(run: Run) -> list[EarlierRun]:
    """Return the latest runs of the same name that started before ``run``, the latest first."""
    latest = before(run, _MOST_SHOWN)
    return [_summed(directory, other) for directory, other in reversed(latest)]


def before(run: Run, most: int = MOST_RUNS) -> list[tuple[RunDirectory, Run]]:
    """Return at most ``most`` earlier runs of the same name, the latest last.

    Few are opened, however many there are: a directory's name tells its run's start and name.
    """
    own_letters = name_letters(run.name)
    names = [name for name in run_names() if _letters_of(name) in (own_letters, None)]
    found: list[tuple[RunDirectory, Run]] = []
    for name in sorted(names, key=_by_start, reverse=True)[:_MOST_OPENED]:
        for directory, other in readable([name]):
            is_earlier = other.started_at_s < run.started_at_s and other.id != run.id
            if is_earlier and other.name == run.name:
                found.append((directory, other))
        if len(found) >= most:
            break
    return sorted(found, key=lambda pair: pair[1].started_at_s)


def latest(most: int = MOST_READ) -> list[tuple[RunDirectory, Run]]:
    """Return the runs in jobs among at most ``most`` latest ones, the latest last."""
    names = sorted(run_names(), key=_by_start, reverse=True)[:most]
    return [(directory, run) for directory, run in readable(names) if run.job is not None]


def _letters_of(name: str) -> str | None:
    """Return the part of a directory's name that its run's name gave; None if it has no such."""
    match = _ID.fullmatch(name)
    return match[1] if match else None


def _by_start(name: str) -> tuple[bool, str]:
    """Sort names by the start in them; others are the last to be opened."""
    return _ID.fullmatch(name) is not None, name


def _summed(directory: RunDirectory, run: Run) -> EarlierRun:
    """Sum up a run from its report.json; without a readable one its figures are unknown."""
    found = directory.report_part("summary")
    summary: dict[str, Any] = found if isinstance(found, dict) else {}
    utils = [figure(gpu, "util_mean_pct") for gpu in _list(summary.get("gpus"))]
    known = [util for util in utils if util is not None]
    return EarlierRun(
        id=run.id,
        started_at_s=run.started_at_s,
        wall_s=run.wall_s,
        how=run.how,
        cores_used_mean=figure(summary, "cores_used_mean"),
        memory_peak_bytes=figure(summary, "memory_peak_bytes"),
        gpu_util_mean_pct=sum(known) / len(known) if known else None,
    )


def _list(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def figure(plain: dict[str, Any], name: str) -> float | None:
    """Return a number of a report.json; None if it is missing or no figure of a run."""
    value: Any = plain.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _MOST_FIGURE else None
