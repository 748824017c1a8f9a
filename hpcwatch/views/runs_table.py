"""Recorded runs as a table. Pure but for their sizes."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Sequence
from typing import TextIO

from hpcwatch.runs_found import Found, how
from hpcwatch.units import format_bytes, format_clock
from hpcwatch.views.text import clean, cut

_NO_TERMINAL = 200


def width_of_terminal(stream: TextIO | None) -> int:
    """Return the width to fit in; where there is no terminal, lines are long."""
    is_terminal = stream is not None and stream.isatty()
    return shutil.get_terminal_size().columns if is_terminal else _NO_TERMINAL


def lines(found: Sequence[Found], width: int) -> list[str]:
    """Return titles, a line a run, and what they take together."""
    longest = max(len(clean(one.run.id)) for one in found)
    made = [f"{'started':17}{'took':>9}  {'ended':11}{'size':>8}  {'run':{longest}}  command"]
    total_bytes = 0
    for one in found:
        size_bytes = one.size_bytes
        total_bytes += size_bytes
        made.append(_row(one, size_bytes, longest))
    count = f"{len(found)} run{'s' * (len(found) != 1)}"
    return [cut(row, width) for row in [*made, f"{count}, {format_bytes(total_bytes)}"]]


def _row(one: Found, size_bytes: int, longest: int) -> str:
    run = one.run
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at_s))
    row = f"{started:17}{format_clock(run.wall_s):>9}  {how(run):11}{format_bytes(size_bytes):>8}"
    return f"{row}  {clean(run.id):{longest}}  {clean(_command(one))}"


def _command(one: Found) -> str:
    """Return what was run, or which job was watched."""
    run = one.run
    if run.argv or run.job is None:
        return shlex.join(run.argv)
    return f"job {run.job.id}"
