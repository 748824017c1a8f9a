"""Rows of all nodes in an order, of which only those are made that are looked at. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

from hpcwatch.views.live.rows import NodeFigures

Row = TypeVar("Row")

_FIRST = 64  # rows that are made at once: a screenful


class Arranged(Sequence[Row]):
    """All rows in order, made from the front as far as they are looked at.

    Of the first N rows none is on a node that has N other nodes before it, by the first row of
    each: so these N nodes are all that is sorted.
    """

    def __init__(
        self,
        nodes: Sequence[NodeFigures],
        leads: Sequence[Any],
        count: int,
        rows: Callable[[NodeFigures], Sequence[Row]],
        key: Callable[[Row], Any],
    ) -> None:
        """``nodes`` have a row at least; ``leads`` sort them as the keys of their first rows do.

        ``count`` is the number of all rows. Rows with the same key stay in the order of nodes.
        """
        self._nodes, self._count, self._rows, self._key = nodes, count, rows, key
        self._order = sorted(range(len(nodes)), key=leads.__getitem__)
        self._made: list[Row] = []

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._count))]
        if place < 0:
            place += self._count
        if not 0 <= place < self._count:
            raise IndexError(place)
        if place >= len(self._made):
            self._make(_FIRST + 2 * place)
        return self._made[place]

    def __iter__(self) -> Iterator[Row]:
        self._make(self._count)
        return iter(self._made)

    def _make(self, count: int) -> None:
        """Make so many rows, or all if there are fewer."""
        if len(self._made) == self._count:
            return
        chosen = sorted(self._order[:count])
        made = [row for place in chosen for row in self._rows(self._nodes[place])]
        made.sort(key=self._key)
        self._made = made if len(made) == self._count else made[:count]
