"""What the user opens over the pages: a node, a finding, the help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.findings import finding_lines
from hpcwatch.views.live.help import help_lines
from hpcwatch.views.live.listing import Scroll
from hpcwatch.views.live.node_page import node_lines
from hpcwatch.views.text import Line, Span


class Opened(NamedTuple):
    """What lies over the pages."""

    lines: Callable[[Board, int, int], list[Line]]
    """Draws it in a width, for a height: what is longer is scrolled."""
    scroll: Scroll
    is_help: bool = False
    host: str | None = None
    """The node that is opened, if it is one."""


def opened_node(host: str) -> Opened:
    """Open a node."""
    return Opened(partial(_node, host), Scroll(), host=host)


def opened_finding(key: object) -> Opened:
    """Open a finding by its key."""
    return Opened(partial(_finding, key), Scroll())


def opened_help(own: Sequence[tuple[str, str]]) -> Opened:
    """Open the list of keys; ``own`` are the command's, each with what it does."""
    return Opened(lambda _board, width, _height: help_lines(width, own), Scroll(), is_help=True)


def _node(host: str, board: Board, width: int, height: int) -> list[Line]:
    node = board.by_host.get(host)
    if node is None:
        return [[Span(f" {clean(host)} is no longer one of the nodes", "dim")]]
    return node_lines(board, node, width, height)


def _finding(key: object, board: Board, width: int, _height: int) -> list[Line]:
    found = next((one for one in board.picture.findings if one.key == key), None)
    if found is None:
        return [[Span(" this finding no longer stands", "ok")]]
    return finding_lines(board, found, width)
