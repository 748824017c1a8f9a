"""GNU parallel's joblog: a row per task, written when the task ends. Pure.

Columns (parallel(1), --joblog): Seq Host Starttime JobRuntime Send Receive Exitval Signal Command,
separated by tabs. A task that was retried or resumed has another row with the same Seq; the last
row counts.
"""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.probe.ranges import fits

HEAD = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand"


_MOST_SEQ = 10**9


class JoblogRow(NamedTuple):
    """One row. ``host`` is ``:`` for the machine on which parallel itself runs."""

    seq: int
    host: str
    started_at_s: float
    runtime_s: float
    exit_code: int
    signal: int
    command: str

    def line(self) -> str:
        """Return the row as parallel writes it."""
        times = f"{self.started_at_s:.3f}\t{self.runtime_s:10.3f}"
        ends = f"0\t0\t{self.exit_code}\t{self.signal}"
        return f"{self.seq}\t{self.host}\t{times}\t{ends}\t{self.command}"


def parse_line(line: str) -> JoblogRow | None:
    """Parse one row; return None for the header and for torn or foreign lines."""
    fields = line.rstrip("\n").split("\t", 8)
    if len(fields) < 9:
        return None
    try:
        row = JoblogRow(
            seq=int(fields[0]),
            host=fields[1].strip(),
            started_at_s=float(fields[2]),
            runtime_s=float(fields[3]),
            exit_code=int(fields[6]),
            signal=int(fields[7]),
            command=fields[8],
        )
    except ValueError:
        return None
    is_sound = (
        0 < row.seq <= _MOST_SEQ
        and fits("started_at_s", row.started_at_s)
        and fits("runtime_s", row.runtime_s)
        and fits("exit_code", row.exit_code)
        and fits("signal", row.signal)
    )
    return row if is_sound else None


def parse(text: str) -> list[JoblogRow]:
    """Return the last row of each task, by Seq. Raises HpcwatchError if it is not a joblog."""
    lines = text.split("\n")
    if lines[0].split("\t")[:4] != HEAD.split("\t")[:4]:
        hint = "give the file named with parallel --joblog"
        raise HpcwatchError("this is not a joblog of GNU parallel", hint, EXIT_USAGE)
    rows: dict[int, JoblogRow] = {}
    for line in lines[1:]:
        row = parse_line(line)
        if row is not None:
            rows[row.seq] = row
    return [rows[seq] for seq in sorted(rows)]
