"""Recorded runs and sweeps as a table. Pure but for their sizes."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Sequence
from typing import TextIO

from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_bytes, format_clock
from hpcwatch.recording.masking import masked_words
from hpcwatch.recording.search import Found
from hpcwatch.sweep.recorded import Sweep, Task
from hpcwatch.views.sweep.words import combination, many, value
from hpcwatch.views.table import Column, cell, table
from hpcwatch.views.text import cut, render

_NO_TERMINAL = 200


def width_of_terminal(stream: TextIO | None) -> int:
    """Return the width to fit in; where there is no terminal, lines are long."""
    is_terminal = stream is not None and stream.isatty()
    return shutil.get_terminal_size().columns if is_terminal else _NO_TERMINAL


_COLUMNS = (
    Column("started", is_left=True, least=16),
    Column("took", least=8),
    Column("ended", is_left=True, least=9),
    Column("size", least=8),
    Column("run", is_left=True),
    Column("command", is_left=True),
)


def lines(found: Sequence[Found | Sweep], width: int) -> list[str]:
    """Return titles, a line a run or sweep, and what they take together."""
    sizes = [one.size_bytes for one in found]
    rows = [[cell(word) for word in _row(one, size)] for one, size in zip(found, sizes)]
    made = [render(line, False) for line in table(_COLUMNS, rows)]
    made.append(f"{counted(found)}, {format_bytes(sum(sizes))}")
    return [cut(row, width) for row in made]


def counted(found: Sequence[Found | Sweep]) -> str:
    """Say how many there are: ``3 runs and 1 sweep``."""
    sweeps_count = sum(isinstance(one, Sweep) for one in found)
    runs_count = len(found) - sweeps_count
    words = [many(runs_count, "run")] if runs_count or not sweeps_count else []
    return " and ".join(words + ([many(sweeps_count, "sweep")] if sweeps_count else []))


def _row(one: Found | Sweep, size_bytes: int) -> tuple[str, ...]:
    facts: tuple[float, float | None, str]
    if isinstance(one, Sweep):
        facts = one.started_at_s, one.wall_s, one.how
    else:
        facts = one.run.started_at_s, one.run.wall_s, one.how
    started_at_s, wall_s, ended = facts
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(started_at_s))
    words = started, format_clock(wall_s), ended, format_bytes(size_bytes)
    return (*words, clean(_id(one)), clean(_command(one)))


def _id(one: Found | Sweep) -> str:
    return one.plan.id if isinstance(one, Sweep) else one.run.id


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
    started, ended = task.attempt
    again = f" (try {started.attempt})" if started.attempt > 1 else ""
    results = ended.results if ended is not None else {}
    found = " ".join(f"{name}={value(one)}" for name, one in results.items())
    words = f"task {started.task}{again} {combination(task.run.parameters or {})}"
    return f"{words} → {found}" if found else words
