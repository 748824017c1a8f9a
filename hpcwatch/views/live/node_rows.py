"""A page that lists several rows of each node: devices, processes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from hpcwatch.views.live.arranged import Arranged
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.page import ListPage, Sort
from hpcwatch.views.live.rows import NodeFigures

Item = TypeVar("Item")


class _Lead(NamedTuple):
    """What is remembered of a node while its figures stay the same."""

    node: NodeFigures
    row_count: int
    lead: Any
    """The place of its first row in the order."""


class NodeRowsPage(ListPage[Item]):
    """Makes the rows that are seen, and of all others only what puts them in their places.

    Ten thousand records would take longer than all else that a redraw does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._leads: dict[str, _Lead] = {}
        self._led_by: Sort | None = None
        self._places: Mapping[str, int] | None = None

    @abstractmethod
    def count(self, node: NodeFigures) -> int:
        """Return how many rows a node has."""

    @abstractmethod
    def rows(self, node: NodeFigures) -> Sequence[Item]:
        """Return the rows of a node."""

    def note(self, node: NodeFigures) -> None:
        """Take notice of a node with new figures; called before its rows are asked for."""

    def items(self, board: Board) -> Sequence[Item]:
        """Return all rows."""
        return [row for node in board.nodes for row in self.rows(node)]

    def _ordered(self, board: Board) -> Sequence[Item]:
        sort = self.sorts[self._sort]
        key = sort.key(board)
        lead = sort.lead(board) if sort.lead is not None else None
        if sort is not self._led_by or board.places is not self._places:
            self._led_by, self._places, self._leads = sort, board.places, {}
        before, known = self._leads, []
        for node in board.nodes:
            one = before.get(node.host)
            if one is None or one.node is not node:
                self.note(node)
                count, place = self.count(node), None
                if count:
                    place = min(map(key, self.rows(node))) if lead is None else lead(node)
                one = _Lead(node, count, place)
            known.append(one)
        self._leads = {one.node.host: one for one in known}
        known = [one for one in known if one.row_count]
        total = sum([one.row_count for one in known])
        leads = [one.lead for one in known]
        return Arranged([one.node for one in known], leads, total, self.rows, key)
