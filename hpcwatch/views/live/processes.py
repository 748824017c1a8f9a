"""PROCESSES: of every node the largest, as `top` would show them, and on demand all. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_clock
from hpcwatch.monitor.further import Further
from hpcwatch.probe.schema import Process, Sample
from hpcwatch.probe.wish import MOST_PROCESSES
from hpcwatch.views.live.board import Board, natural
from hpcwatch.views.live.page import Kind, ListPage, Sort, Target
from hpcwatch.views.live.process_tree import tree
from hpcwatch.views.live.rows import NodeFigures, ProcessFigures
from hpcwatch.views.table import Column, ListRow, cell
from hpcwatch.views.text import Line, Span, cut

_LONG_ARGV = 500  # characters of a command line that anybody might see


def processes_of(node: NodeFigures) -> list[ProcessFigures]:
    """Return a node's processes, most CPU first, then most memory."""
    return sorted(listed_on(node), key=_by_cpu)


def listed_on(node: NodeFigures) -> list[ProcessFigures]:
    """Return a node's processes in the order of its sample, then those it named on demand."""
    if node.sample is None or node.history is None:
        return []
    host, cores, every = node.host, node.process_cores, node.sample.processes or ()
    if node.further is None:
        return [ProcessFigures(host, one, cores.get(one.pid), node) for one in every]
    # One that was not among the largest before is known there only.
    more = node.further.cores
    made = [ProcessFigures(host, one, more.get(one.pid, cores.get(one.pid)), node) for one in every]
    return made + [
        ProcessFigures(host, one, more.get(one.pid), node) for one in node.further.processes
    ]


def cpu_s(process: Process) -> float | None:
    """Return the CPU time a process has used in all."""
    if process.cpu_user_s is None and process.cpu_system_s is None:
        return None
    return (process.cpu_user_s or 0.0) + (process.cpu_system_s or 0.0)


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


def _by_cpu(one: ProcessFigures) -> float:
    # Of those that use as much, that with more memory: a float sorts faster than a pair.
    return -(one.cores or 0.0) - 1e-18 * (one.process.rss_bytes or 0)


def _by_rss(one: ProcessFigures) -> float:
    return -(one.process.rss_bytes or 0)


def _by_time(one: ProcessFigures) -> float:
    return -(cpu_s(one.process) or 0.0)


def _by_rank(one: ProcessFigures) -> object:
    rank = one.process.rank
    return rank is None, rank or 0, _by_cpu(one)


def _by_node(one: ProcessFigures) -> object:
    return natural(one.host), -(one.cores or 0.0)


_ORDERS = {"P": "CPU", "M": "RSS", "T": "CPU time", "N": "PID"}
"""Keys of htop -> orders."""


class ProcessesPage(ListPage[ProcessFigures]):
    """The processes of all nodes in one table."""

    name = "PROCESSES"
    noun = ("process", "processes")
    hints: tuple[str, ...] = ("a all",)
    sorts = (
        Sort("CPU", lambda _board: _by_cpu),
        Sort("RSS", lambda _board: _by_rss),
        Sort("CPU time", lambda _board: _by_time),
        Sort("PID", lambda _board: lambda one: one.process.pid),
        Sort("node", lambda _board: _by_node),
        Sort("rank", lambda _board: _by_rank),
    )

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, tuple[Sample, Further | None, list[ProcessFigures]]] = {}
        self._ranked: set[str] = set()
        """Hosts of which a listed process is a rank: the column stays while one scrolls."""
        self._everything: Sequence[ProcessFigures] = ()
        self._user: str | None = None
        self._is_tree = False
        self._every = 0
        self._asked = ""
        self._branches: dict[tuple[str, int], str] = {}

    def items(self, board: Board) -> Sequence[ProcessFigures]:
        """Return all processes; a node's records are made once a sample."""
        known: dict[str, tuple[Sample, Further | None, list[ProcessFigures]]] = {}
        for node in board.nodes:
            if node.sample is None:
                continue
            before = self._known.get(node.host)
            is_known = before is not None and before[0] is node.sample
            if before is None or not is_known or before[1] is not node.further:
                before = node.sample, node.further, listed_on(node)
                self._ranked.discard(node.host)
                if any(one.process.rank is not None for one in before[2]):
                    self._ranked.add(node.host)
            known[node.host] = before
        self._known = known
        return [one for _, _, processes in known.values() for one in processes]

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
        """Return a row per process."""
        return process_table(items, width, branches=self._branches, has_rank=bool(self._ranked))

    def _arranged(self, board: Board, pattern: str) -> tuple[list[ProcessFigures], int]:
        items, count = super()._arranged(board, pattern)
        self._everything = items
        if self._user is not None:
            items = [one for one in items if one.process.user == self._user]
        self._branches = {}
        if self._is_tree:
            twigs = tree(items)
            items = [twig.item for twig in twigs]
            self._branches = {(one.host, one.process.pid): branch for one, branch in twigs}
        jobs = [node.sample.job for node in board.nodes if node.sample is not None]
        self._every = sum(job.process_count for job in jobs if job is not None)
        self._asked = _asked(board)
        return items, count

    def _told(self, pattern: str, count: int, total: int, seen: range) -> list[str]:
        said = super()._told(pattern, count, total, seen)
        if self._is_tree:
            said.append("tree")
        if self._user is not None:
            said.append(f"user {clean(self._user)}")
        if self._asked:
            said.append(self._asked)
        elif total < self._every:
            said.append(f"the largest {total} of {self._every}")
        return said

    def press(self, key: str) -> bool:
        """Take an order by its letter, the tree, or the next user."""
        if key in _ORDERS:
            self._sort = [sort.name for sort in self.sorts].index(_ORDERS[key])
        elif key == "t":
            self._is_tree = not self._is_tree
        elif key == "u":
            users = sorted({one.process.user for one in self._everything if one.process.user})
            every: list[str | None] = [None, *users]
            place = every.index(self._user) if self._user in every else 0
            self._user = every[(place + 1) % len(every)]
        else:
            return super().press(key)
        return True

    def chosen(self) -> ProcessFigures | None:
        """Return the selected process."""
        return self._items[self.listing.index] if self._items else None


def _asked(board: Board) -> str:
    """Say of which nodes all processes are shown; empty if of none."""
    asked = [node for node in board.nodes if node.host in board.picture.asked]
    if not asked:
        return ""
    where = "" if len(asked) == len(board.nodes) else f" of {clean(asked[0].host)}"
    if any(node.further is None for node in asked):
        return f"asked for all{where}"
    counts = [len(listed_on(node)) for node in asked]
    if max(counts) < MOST_PROCESSES:
        return f"all {sum(counts)}{where}"
    jobs = [node.sample.job for node in asked if node.sample is not None]
    every = sum(job.process_count for job in jobs if job is not None)
    return f"{sum(counts)} of {max(every, sum(counts))}{where}"
