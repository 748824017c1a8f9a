"""PROCESSES: of every node the largest, as `top` would show them, and on demand all. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from hpcwatch.base.clean import clean
from hpcwatch.probe.wish import MOST_PROCESSES
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.node_rows import NodeRowsPage
from hpcwatch.views.live.page import Kind, Target
from hpcwatch.views.live.process_rows import SORTS, count_on, has_ranks, listed_on
from hpcwatch.views.live.process_table import process_table
from hpcwatch.views.live.process_tree import tree
from hpcwatch.views.live.rows import NodeFigures, ProcessFigures
from hpcwatch.views.table import Column, ListRow

_ORDERS = {"P": "CPU", "M": "RSS", "T": "CPU time", "N": "PID"}
"""Keys of htop -> orders."""


class ProcessesPage(NodeRowsPage[ProcessFigures]):
    """The processes of all nodes in one table."""

    name = "PROCESSES"
    noun = ("process", "processes")
    hints: tuple[str, ...] = ("a all",)
    sorts = SORTS

    def __init__(self) -> None:
        super().__init__()
        self._ranked: set[str] = set()
        """Hosts of which a listed process is a rank: the column stays while one scrolls."""
        self._everything: Sequence[ProcessFigures] = ()
        self._user: str | None = None
        self._is_tree = False
        self._every = 0
        self._asked = ""
        self._branches: dict[tuple[str, int], str] = {}

    def count(self, node: NodeFigures) -> int:
        """Return how many processes of a node are listed."""
        return count_on(node)

    def rows(self, node: NodeFigures) -> Sequence[ProcessFigures]:
        """Return a node's processes."""
        return listed_on(node)

    def note(self, node: NodeFigures) -> None:
        """Note whether a listed process is a rank."""
        self._ranked.discard(node.host)
        if has_ranks(node):
            self._ranked.add(node.host)

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

    def _arranged(self, board: Board, pattern: str) -> tuple[Sequence[ProcessFigures], int]:
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
    if not board.picture.asked:
        return ""
    asked = [node for node in board.nodes if node.host in board.picture.asked]
    if not asked:
        return ""
    where = "" if len(asked) == len(board.nodes) else f" of {clean(asked[0].host)}"
    if any(node.further is None for node in asked):
        return f"asked for all{where}"
    counts = [count_on(node) for node in asked]
    if max(counts) < MOST_PROCESSES:
        return f"all {sum(counts)}{where}"
    jobs = [node.sample.job for node in asked if node.sample is not None]
    every = sum(job.process_count for job in jobs if job is not None)
    return f"{sum(counts)} of {max(every, sum(counts))}{where}"
