"""What a page is: lines for a board, and what its keys open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from hpcwatch.base.clean import clean
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.listing import Listing
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.table import Column, ListRow, page_table
from hpcwatch.views.text import Line, Span

Item = TypeVar("Item")

_PAPER = 1000  # lines: more than any screen has


class Kind(Enum):
    """What a key may open."""

    NODE = "node"
    FINDING = "finding"
    JOB = "job"


class Target(NamedTuple):
    """What the enter key opens: a node by host, a finding by its key, a job by its id."""

    kind: Kind
    key: Any


class Page(Protocol):
    """One of the pages that Tab goes through."""

    name: str
    hints: tuple[str, ...]
    """Keys that only this page has, as the last line of the screen names them."""

    def lines(self, board: Board, pattern: str, width: int, height: int) -> list[Line]:
        """Return at most ``height`` lines; ``pattern`` is what the user filters by."""

    def press(self, key: str) -> bool:
        """Take a key; False if it is none of this page's."""

    def target(self) -> Target | None:
        """Return what the enter key opens."""

    def status(self) -> list[str]:
        """Return what the rule below the page says: order, filter's effect, position."""


class Sort(NamedTuple):
    """An order of rows."""

    name: str
    key: Callable[[Board], Callable[[Any], Any]]
    """What, for a board, tells an item's place."""
    lead: Callable[[Board], Callable[[NodeFigures], Any]] | None = None
    """What, for a board, puts a node where its first row belongs; None: the key of that row."""


class ListPage(ABC, Generic[Item]):
    """A page that is a table with one selected row."""

    name = ""
    noun = ("row", "rows")
    hints: tuple[str, ...] = ()
    sorts: tuple[Sort, ...] = ()

    def __init__(self) -> None:
        self.listing = Listing()
        self._sort = 0
        self._items: Sequence[Item] = ()
        self._status: list[str] = []

    @abstractmethod
    def items(self, board: Board) -> Sequence[Item]:
        """Return what there is to list."""

    @abstractmethod
    def key(self, item: Item) -> Hashable:
        """Return what makes an item the same one at the next look."""

    @abstractmethod
    def words(self, item: Item) -> str:
        """Return the text that a filter looks at."""

    @abstractmethod
    def table(
        self, board: Board, items: Sequence[Item], width: int
    ) -> tuple[list[Column], list[ListRow]]:
        """Return columns, and a row for each of the items that are seen."""

    @abstractmethod
    def opens(self, item: Item) -> Target | None:
        """Return what the enter key opens on an item."""

    def nothing(self, _board: Board) -> str:
        """Say that there is nothing to list."""
        return f"no {self.noun[1]}"

    def foot(
        self, _board: Board, _items: Sequence[Item], _width: int, _height: int
    ) -> list[ListRow]:
        """Return the rows that sum up all items, below those that are seen."""
        return []

    def lines(self, board: Board, pattern: str, width: int, height: int) -> list[Line]:
        """Return at most ``height`` lines."""
        items, total = self._arranged(board, pattern)
        foot = self.foot(board, items, width, height)
        room = max(height - 1 - (len(foot) + 1 if foot else 0), 1)
        seen = self.listing.settle(len(items), lambda place: self.key(items[place]), room)
        self._items = items
        self._status = self._told(pattern, len(items), total, seen)
        if not items:
            said = f'no {self.noun[0]} matches "{clean(pattern)}"' if pattern else None
            return [[Span(f" {said or self.nothing(board)}", "dim")]]
        chosen = self.listing.index - seen.start
        shown = [items[place] for place in seen]
        return self._table(board, shown, foot, width, chosen)[:height]

    def whole(self, board: Board, width: int) -> list[Line]:
        """Return all rows, none of them selected: what a page is on paper."""
        items, _ = self._arranged(board, "")
        return self._table(board, items, self.foot(board, items, width, _PAPER), width, None)

    def _arranged(self, board: Board, pattern: str) -> tuple[Sequence[Item], int]:
        """Return the items that a filter lets through, in order, and how many there are in all."""
        everything = self._ordered(board)
        if not pattern:
            return everything, len(everything)
        wanted = pattern.lower()
        items = [item for item in everything if wanted in self.words(item).lower()]
        return items, len(everything)

    def _ordered(self, board: Board) -> Sequence[Item]:
        items = self.items(board)
        return sorted(items, key=self.sorts[self._sort].key(board)) if self.sorts else items

    def _table(
        self,
        board: Board,
        items: Sequence[Item],
        foot: list[ListRow],
        width: int,
        chosen: int | None,
    ) -> list[Line]:
        columns, rows = self.table(board, items, width)
        rows = [row._replace(is_selected=place == chosen) for place, row in enumerate(rows)]
        made = page_table(columns, [*rows, *foot], width)
        if foot:
            made.insert(1 + len(rows), [Span(" ──", "dim")])
        return made

    def _told(self, pattern: str, count: int, total: int, seen: range) -> list[str]:
        said = [f"by {self.sorts[self._sort].name}"] if len(self.sorts) > 1 else []
        if pattern:
            said.append(f'filter "{clean(pattern)}": {count} of {total}')
        if seen and len(seen) < count:
            said.append(f"{seen.start + 1}–{seen.stop} of {count} {self.noun[1]}")
        return said

    def press(self, key: str) -> bool:
        """Move, or take the next order."""
        if key == "s" and self.sorts:
            self._sort = (self._sort + 1) % len(self.sorts)
            return True
        return self.listing.press(key)

    def target(self) -> Target | None:
        """Return what the enter key opens: keys may have moved the selection since ``lines``."""
        return self.opens(self._items[self.listing.index]) if self._items else None

    def status(self) -> list[str]:
        """Return order, filter and position."""
        return self._status
