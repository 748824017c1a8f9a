"""Recorded runs and sweeps as a table of text, JSON or CSV."""

from __future__ import annotations

import csv
import io
import shlex
import time
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from hpcwatch.base.clean import clean
from hpcwatch.base.units import (
    UNKNOWN,
    format_bytes,
    format_clock,
    format_cores,
    format_pct,
    short_of_bytes,
)
from hpcwatch.recording.masking import masked_words
from hpcwatch.recording.search import Found
from hpcwatch.sweep.recorded import Sweep, Task
from hpcwatch.views.jobs.runs_rows import CSV_HEAD, Row, csv_cells
from hpcwatch.views.report.csv import harmless
from hpcwatch.views.sweep.words import combination, many, value
from hpcwatch.views.table import Column, ListRow, cell, page_table
from hpcwatch.views.text import columns_of, cut, render

_NO_TERMINAL = 200
_NARROW = 110  # columns


class _Longest(NamedTuple):
    """The columns that names may take: where there is little room, figures need it more."""

    name: int
    job: int
    result: int


_WIDE_NAMES, _NARROW_NAMES = _Longest(24, 16, 32), _Longest(12, 12, 16)


def width_of_terminal(stream: TextIO | None) -> int:
    """Return the width to fit in; where there is no terminal, lines are long."""
    return columns_of(stream, _NO_TERMINAL)


_COLUMNS = (
    Column("id", is_left=True),
    Column("started", is_left=True, rank=6),
    Column("name", is_left=True),
    Column("job", is_left=True, rank=2),
    Column("took", rank=5),
    Column("cores", rank=7),
    Column("cores %", rank=1),
    Column("memory", rank=1),
    Column("GPUs", rank=3),
    Column("ended", is_left=True),
    Column("result", is_left=True, rank=4),
    Column("size", rank=8),
    Column("command", is_left=True, least=12, rank=9, is_open=True),
)


def lines(rows: Sequence[Row], width: int) -> list[str]:
    """Return titles, a line a run or sweep, and their number and size together."""
    now_s = time.time()
    longest = _WIDE_NAMES if width >= _NARROW else _NARROW_NAMES
    cells = [_cells(row, now_s, longest) for row in rows]
    shown = [
        index for index, column in enumerate(_COLUMNS)
        if column.title in _ALWAYS or any(row[index] for row in cells)
    ]  # fmt: skip
    columns = [_COLUMNS[index] for index in shown]
    table = page_table(
        columns, [ListRow([cell(row[index]) for index in shown]) for row in cells], width
    )
    made = [render(line, False)[1:].rstrip() for line in table]  # no row is selected
    found = [row.one for row in rows]
    made.append(f"{counted(found)}, {format_bytes(sum(row.size_bytes for row in rows))}")
    return [cut(row, width) for row in made]


_ALWAYS = ("id", "started", "name", "took", "ended")


def csv_lines(rows: Sequence[Row]) -> list[str]:
    """Return the same rows as CSV, the heading first; no cell begins as a formula does."""
    made = [list(CSV_HEAD), *([harmless(word) for word in csv_cells(row)] for row in rows)]
    return [_csv_line(cells) for cells in made]


def _csv_line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def counted(found: Sequence[Found | Sweep]) -> str:
    """Return how many there are: ``3 runs and 1 sweep``."""
    sweeps_count = sum(isinstance(one, Sweep) for one in found)
    runs_count = len(found) - sweeps_count
    words = [many(runs_count, "run")] if runs_count or not sweeps_count else []
    return " and ".join(words + ([many(sweeps_count, "sweep")] if sweeps_count else []))


def _cells(row: Row, now_s: float, longest: _Longest) -> list[str]:
    figures = row.figures
    is_sweep = isinstance(row.one, Sweep)
    cores = f"{format_cores(figures.cores_used_mean)}/{_count(figures.cores_allocated)}"
    memory = short_of_bytes(figures.memory_peak_bytes, figures.memory_limit_bytes)
    return [
        clean(row.short_id),
        started_words(row.started_at_s, now_s),
        cut(clean(row.name), longest.name),
        cut(clean(row.job_id or ""), longest.job),
        format_clock(row.wall_s),
        "" if is_sweep else UNKNOWN if figures.cores_used_mean is None else cores,
        "" if is_sweep else format_pct(figures.cpu_efficiency_pct),
        "" if is_sweep else memory,
        _gpus(row),
        ended_words(row),
        cut(_result(row), longest.result),
        format_bytes(row.size_bytes),
        clean(_command(row.one)),
    ]


def started_words(at_s: float, now_s: float) -> str:
    """Return ``today 14:15``, this year ``23 Nov 15:12``, else ``2025-11-23``."""
    at, now = time.localtime(at_s), time.localtime(now_s)
    if at[:3] == now[:3]:
        return time.strftime("today %H:%M", at)
    return time.strftime("%d %b %H:%M" if at[0] == now[0] else "%Y-%m-%d", at)


def ended_words(row: Row) -> str:
    """Return how it ended: ``ok``, ``exit 3``, ``killed: memory``, ``running``, ``unfinished``."""
    run = row.one.run if isinstance(row.one, Found) else None
    if run is not None and row.how != "running":
        if run.kind == "job" and run.job is not None and run.job.state.is_over:
            return run.job.state.value.replace("completed", "ok")
        if run.signal and row.figures.is_memory_killed:
            return "killed: memory"
    return row.how


def _count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:g}"


def _gpus(row: Row) -> str:
    figures = row.figures
    if not figures.gpus_count:
        return ""
    return f"{_count(figures.gpus_used_count)}/{figures.gpus_count}"


def _result(row: Row) -> str:
    return " ".join(f"{clean(name)}={value(one)}" for name, one in (row.results or {}).items())


def _command(one: Found | Sweep) -> str:
    """Return what was run, or which job was watched."""
    if isinstance(one, Sweep):
        return _tasks(one)
    if isinstance(one, Task):
        return _combination(one)
    run = one.run
    if run.argv or run.job is None:
        return shlex.join(run.argv)
    return f"job {run.job.id}"


def _tasks(sweep: Sweep) -> str:
    done = [f"{sweep.good_count} ok"] if sweep.good_count else []
    done += [f"{sweep.failed_count} failed"] if sweep.failed_count else []
    done += [f"{sweep.left_count} to do"] if sweep.left_count else []
    done += [f"CPU {format_clock(sweep.cpu_s)}"] if sweep.cpu_s is not None else []
    head = f"{many(sweep.plan.tasks_count, 'task')} ({', '.join(done)})"
    return f"{head}: {shlex.join(masked_words(sweep.plan.command))}"


def _combination(task: Task) -> str:
    started = task.attempt.started
    again = f" (try {started.attempt})" if started.attempt > 1 else ""
    return f"task {started.task}{again} {combination(task.run.parameters or {})}"
