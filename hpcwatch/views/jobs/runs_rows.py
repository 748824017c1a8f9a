"""A recorded run or sweep as a row: what all formats of `hpcwatch runs` have in common."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Union

from hpcwatch.base.units import iso
from hpcwatch.monitor.run_figures import Figures, figures_of, figures_so_far
from hpcwatch.recording.lookup import list_runs
from hpcwatch.recording.masking import masked_fields, masked_words
from hpcwatch.recording.search import Found
from hpcwatch.recording.short_ids import short_ids
from hpcwatch.sweep.recorded import Sweep, Task

One = Union[Found, Sweep]

_MOST_READ = 8
"""Runs without a report, in progress or of a killed monitor, whose samples are read for the list:
each takes as long as a report."""
_MOST_SAMPLES_BYTES = 8 << 20


class Row(NamedTuple):
    """A run or sweep with its figures."""

    one: One
    short_id: str
    how: str
    """How it ended, as in ``Found.how`` and ``Sweep.how``."""
    size_bytes: int
    figures: Figures

    @property
    def id(self) -> str:
        """The whole id."""
        return self.one.plan.id if isinstance(self.one, Sweep) else self.one.run.id

    @property
    def name(self) -> str:
        """The name of the run or the sweep."""
        return self.one.plan.name if isinstance(self.one, Sweep) else self.one.run.name

    @property
    def job_id(self) -> str | None:
        """The job with its task, as the scheduler writes both; None outside of a job."""
        if isinstance(self.one, Sweep):
            return self.one.plan.job_id
        return self.one.run.job.id if self.one.run.job is not None else None

    @property
    def started_at_s(self) -> float:
        """When it started, in seconds since the epoch."""
        one = self.one
        return one.started_at_s if isinstance(one, Sweep) else one.run.started_at_s

    @property
    def wall_s(self) -> float | None:
        """How long it took; None while it runs."""
        return self.one.wall_s if isinstance(self.one, Sweep) else self.one.run.wall_s

    @property
    def results(self) -> Mapping[str, Any] | None:
        """What the program logged last, masked; of a sweep's task what the sweep read of it."""
        if isinstance(self.one, Task):
            ended = self.one.attempt.ended
            found = ended.results if ended is not None else None
        else:
            found = self.figures.results
        return masked_fields(found) if found is not None else None


def of_list(found: Sequence[One]) -> list[Row]:
    """Return a row each. Of runs without a report only the latest few have figures."""
    short = short_ids(run for _, run in list_runs())
    left = _MOST_READ
    made = []
    for one in reversed(found):
        how, size_bytes = one.how, one.size_bytes
        figures = Figures()
        if isinstance(one, Found):
            figures = figures_of(one.directory)
            if figures == Figures() and left:
                left -= 1
                if size_bytes < _MOST_SAMPLES_BYTES:
                    figures = figures_so_far(one.directory)
        row = Row(one, "", how, size_bytes, figures)
        made.append(row._replace(short_id=short.get(row.id, row.id)))
    return made[::-1]


def _gpus(row: Row) -> float | None:
    return row.figures.gpus_used_count if row.figures.gpus_count else None


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "started": lambda row: row.started_at_s,
    "name": lambda row: row.name,
    "job": lambda row: row.job_id,
    "took": lambda row: row.wall_s,
    "cores": lambda row: row.figures.cores_used_mean,
    "efficiency": lambda row: row.figures.cpu_efficiency_pct,
    "memory": lambda row: row.figures.memory_peak_bytes,
    "gpus": _gpus,
    "ended": lambda row: row.how,
    "size": lambda row: row.size_bytes,
}
"""What rows can be sorted by -> the key of a row; None is unknown."""


def sorted_rows(rows: Sequence[Row], by: str, is_reversed: bool) -> list[Row]:
    """Return the rows with the largest last, as the latest is; what is unknown comes first."""
    key = SORTS[by]
    known = sorted((row for row in rows if key(row) is not None), key=key)
    unknown = [row for row in rows if key(row) is None]
    return [*unknown, *known[::-1]] if is_reversed else [*unknown, *known]


def plain_run(row: Row) -> dict[str, Any]:
    """Return a run as in `runs --format json`, version 1: keys are only added."""
    one = row.one
    assert isinstance(one, Found)
    run, figures = one.run, row.figures
    return {
        "id": run.id,
        "name": run.name,
        "kind": run.kind,
        "argv": run.argv,
        "hosts": run.hosts,
        "job_id": row.job_id,
        "sweep_id": run.sweep_id,
        "parameters": run.parameters,
        "results": row.results or None,
        "started_at": iso(run.started_at_s),
        "ended_at": iso(run.ended_at_s),
        "wall_s": run.wall_s,
        "how": row.how,
        "exit_code": run.exit_code,
        "signal": run.signal,
        "size_bytes": row.size_bytes,
        "path": one.directory.place,
        "is_link": one.is_link,
        "short_id": row.short_id,
        "job_task": run.job.array_index if run.job is not None else None,
        **{
            name: value
            for name, value in figures._asdict().items()
            if name not in ("results", "is_memory_killed")
        },
    }


def plain_sweep(row: Row) -> dict[str, Any]:
    """Return a sweep as in `runs --format json`, version 1."""
    one = row.one
    assert isinstance(one, Sweep)
    return {
        "id": one.plan.id,
        "name": one.plan.name,
        "command": masked_words(one.plan.command),
        "job_id": one.plan.job_id,
        "tasks_count": one.plan.tasks_count,
        "good_count": one.good_count,
        "failed_count": one.failed_count,
        "left_count": one.left_count,
        "started_at": iso(one.started_at_s),
        "last_at": iso(one.last_s),
        "wall_s": one.wall_s,
        "cpu_s": one.cpu_s,
        "how": row.how,
        "size_bytes": row.size_bytes,
        "path": one.folder,
    }


CSV_HEAD = (
    *("id", "short_id", "kind", "started_at", "name", "job_id", "job_task", "wall_s"),
    *("cores_used_mean", "cores_allocated", "cpu_efficiency_pct"),
    *("memory_peak_bytes", "memory_limit_bytes", "gpus_used_count", "gpus_count"),
    *("results", "how", "exit_code", "signal", "findings_count", "size_bytes", "command"),
)
"""The columns of `runs --format csv`; figures have the names that they have in JSON."""


def csv_cells(row: Row) -> list[str]:
    """Return a row's cells below CSV_HEAD; what is unknown is empty."""
    if isinstance(row.one, Sweep):
        told = {**plain_sweep(row), "kind": "sweep", "short_id": row.short_id}
        words = masked_words(row.one.plan.command)
    else:
        told, words = plain_run(row), row.one.run.argv
    told["results"] = " ".join(f"{name}={value}" for name, value in (row.results or {}).items())
    told["command"] = shlex.join(words)
    return ["" if told.get(name) is None else str(told[name]) for name in CSV_HEAD]
