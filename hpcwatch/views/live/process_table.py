"""A table of processes, a row each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_clock
from hpcwatch.views.live.process_rows import cpu_s
from hpcwatch.views.live.rows import ProcessFigures
from hpcwatch.views.table import Column, ListRow, cell
from hpcwatch.views.text import Line, Span, cut

_LONG_ARGV = 500  # characters of a command line that anybody might see


def process_table(
    processes: Sequence[ProcessFigures],
    width: int,
    has_host: bool = True,
    branches: Mapping[tuple[str, int], str] = MappingProxyType({}),
    has_rank: bool = False,
) -> tuple[list[Column], list[ListRow]]:
    """Return a row per process; ``branches`` stand before commands in a tree, by host and pid.

    Ranks have a column if any of these processes is one, or ``has_rank``.
    """
    columns = [
        Column("user", is_left=True, least=6, rank=2),
        Column("PID", least=7),
        Column("rank", least=4),
        Column("thr", least=3, rank=4),
        Column("CPU %", least=5),
        Column("RSS", least=8),
        Column("PSS", least=8, rank=5),
        Column("virtual", least=8, rank=6),
        Column("GPU", rank=3),
        Column("S", is_left=True, rank=1),
        Column("CPU time", least=8),
        Column("command", is_left=True, least=16, is_open=True),
    ]
    rows = [_row(one, width, branches.get((one.host, one.process.pid), "")) for one in processes]
    if not any(one.gpus for one in processes):
        columns, rows = _without("GPU", columns, rows)
    if not has_rank and all(one.process.rank is None for one in processes):
        columns, rows = _without("rank", columns, rows)
    if not has_host:
        return columns, rows
    host = min(max((len(one.host) for one in processes), default=4), 20)
    first = Column("node", is_left=True, least=host)
    cells = [cell(cut(clean(one.host), 20)) for one in processes]
    rows = [row._replace(cells=[c, *row.cells]) for c, row in zip(cells, rows)]
    return [first, *columns], rows


def _without(
    title: str, columns: list[Column], rows: list[ListRow]
) -> tuple[list[Column], list[ListRow]]:
    """Leave a column out that no row has anything in."""
    place = [column.title for column in columns].index(title)
    rows = [row._replace(cells=[*row.cells[:place], *row.cells[place + 1 :]]) for row in rows]
    return [*columns[:place], *columns[place + 1 :]], rows


def _row(one: ProcessFigures, width: int, branch: str) -> ListRow:
    process = one.process
    used = UNKNOWN if one.cores is None else f"{100 * one.cores:.0f}"
    threads = process.thread_count
    cells: list[Line] = [
        cell(UNKNOWN if process.user is None else cut(clean(process.user), 10)),
        cell(str(process.pid)),
        cell("" if process.rank is None else str(process.rank)),
        cell(UNKNOWN if threads is None else str(threads)),
        cell(used),
        cell(format_bytes(process.rss_bytes)),
        cell(format_bytes(process.pss_bytes)),
        cell(format_bytes(process.virtual_bytes)),
        cell(fold_indexes(one.gpus)),
        cell(clean(process.state)),
        cell(format_clock(cpu_s(process))),
        [*([Span(branch, "grey")] if branch else []), Span(cut(command(one), width))],
    ]
    return ListRow(cells)


def fold_indexes(indexes: tuple[int, ...]) -> str:
    """Return devices as a word: ``0``, ``0,1``, ``0-7``; empty if there is none."""
    ordered = sorted(indexes)
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]}-{ordered[-1]}"
    return ",".join(map(str, ordered))


def command(one: ProcessFigures) -> str:
    """Return a process's command line, its name where that is not known."""
    return clean(" ".join(one.argv)[:_LONG_ARGV]) if one.argv else clean(one.process.name)
