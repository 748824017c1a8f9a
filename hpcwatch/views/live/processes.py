"""PROCESSES: the largest processes of every node, as `top` on each would show them. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_clock
from hpcwatch.probe.schema import Process, Sample
from hpcwatch.views.live.board import Board, natural
from hpcwatch.views.live.page import Kind, ListPage, Sort, Target
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.table import Column, ListRow, cell
from hpcwatch.views.text import Line, cut

_LONG_ARGV = 500  # characters of a command line that anybody might see


class ProcessFigures(NamedTuple):
    """A process of a node."""

    host: str
    process: Process
    cores: float | None
    """Used since the sample before."""
    argv: list[str] | None


def processes_of(node: NodeFigures) -> list[ProcessFigures]:
    """Return a node's processes, most CPU first, then most memory."""
    listed = (node.sample.processes or []) if node.sample is not None else []
    known = node.history.processes if node.history is not None else {}
    made = []
    for process in listed:
        # An argv is said once, when the process is first seen.
        argv = process.argv
        if argv is None and process.pid in known and known[process.pid].name == process.name:
            argv = known[process.pid].argv
        cores = node.process_cores.get(process.pid)
        made.append(ProcessFigures(node.host, process, cores, argv))
    made.sort(key=lambda one: (-(one.cores or 0.0), -(one.process.rss_bytes or 0)))
    return made


def cpu_s(process: Process) -> float | None:
    """Return the CPU time a process has used in all."""
    if process.cpu_user_s is None and process.cpu_system_s is None:
        return None
    return (process.cpu_user_s or 0.0) + (process.cpu_system_s or 0.0)


def process_table(
    processes: Sequence[ProcessFigures], width: int, has_host: bool = True
) -> tuple[list[Column], list[ListRow]]:
    """Return a row a process."""
    columns = [
        Column("user", is_left=True, least=6, rank=2),
        Column("PID", least=7),
        Column("thr", least=3, rank=4),
        Column("CPU %", least=5),
        Column("RSS", least=8),
        Column("PSS", least=8, rank=5),
        Column("virtual", least=8, rank=6),
        Column("S", is_left=True, rank=1),
        Column("CPU time", least=8),
        Column("command", is_left=True, least=16, is_open=True),
    ]
    rows = [_row(one, width) for one in processes]
    if not has_host:
        return columns, rows
    host = min(max((len(one.host) for one in processes), default=4), 20)
    first = Column("node", is_left=True, least=host)
    cells = [cell(cut(clean(one.host), 20)) for one in processes]
    rows = [row._replace(cells=[c, *row.cells]) for c, row in zip(cells, rows)]
    return [first, *columns], rows


def _row(one: ProcessFigures, width: int) -> ListRow:
    process = one.process
    used = UNKNOWN if one.cores is None else f"{100 * one.cores:.0f}"
    threads = process.thread_count
    cells: list[Line] = [
        cell(UNKNOWN if process.user is None else cut(clean(process.user), 10)),
        cell(str(process.pid)),
        cell(UNKNOWN if threads is None else str(threads)),
        cell(used),
        cell(format_bytes(process.rss_bytes)),
        cell(format_bytes(process.pss_bytes)),
        cell(format_bytes(process.virtual_bytes)),
        cell(clean(process.state)),
        cell(format_clock(cpu_s(process))),
        cell(cut(command(one), width)),
    ]
    return ListRow(cells)


def command(one: ProcessFigures) -> str:
    """Return a process's command line, its name where that is not known."""
    return clean(" ".join(one.argv)[:_LONG_ARGV]) if one.argv else clean(one.process.name)


def _by_cpu(one: ProcessFigures) -> float:
    return -(one.cores or 0.0)  # each node's are in order of memory, too, and sorts are stable


def _by_rss(one: ProcessFigures) -> float:
    return -(one.process.rss_bytes or 0)


def _by_time(one: ProcessFigures) -> float:
    return -(cpu_s(one.process) or 0.0)


def _by_node(one: ProcessFigures) -> object:
    return natural(one.host), -(one.cores or 0.0)


class ProcessesPage(ListPage[ProcessFigures]):
    """The processes of all nodes in one table."""

    name = "PROCESSES"
    noun = ("process", "processes")
    sorts = (
        Sort("CPU", lambda _board: _by_cpu),
        Sort("RSS", lambda _board: _by_rss),
        Sort("CPU time", lambda _board: _by_time),
        Sort("node", lambda _board: _by_node),
    )

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, tuple[Sample, list[ProcessFigures]]] = {}

    def items(self, board: Board) -> Sequence[ProcessFigures]:
        """Return all processes; a node's records are made once a sample."""
        known: dict[str, tuple[Sample, list[ProcessFigures]]] = {}
        for node in board.nodes:
            if node.sample is None:
                continue
            before = self._known.get(node.host)
            if before is None or before[0] is not node.sample:
                before = node.sample, processes_of(node)
            known[node.host] = before
        self._known = known
        return [one for _, processes in known.values() for one in processes]

    def key(self, item: ProcessFigures) -> Hashable:
        """A process is known by host and number."""
        return item.host, item.process.pid

    def words(self, item: ProcessFigures) -> str:
        """Filter by host, user, number, name and command line."""
        process = item.process
        argv = " ".join(item.argv) if item.argv else ""
        return f"{item.host} {process.user or ''} {process.pid} {process.name} {argv}"

    def opens(self, item: ProcessFigures) -> Target:
        """Open the process's node."""
        return Target(Kind.NODE, item.host)

    def nothing(self, board: Board) -> str:
        """Say whether there is none, or it is unknown."""
        is_known = any(node.sample is not None for node in board.nodes)
        return "no process of the job is running" if is_known else "no node has been read yet"

    def table(
        self, _board: Board, items: Sequence[ProcessFigures], width: int
    ) -> tuple[list[Column], list[ListRow]]:
        """Return a row a process."""
        return process_table(items, width)
