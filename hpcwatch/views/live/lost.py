"""Why nodes are lost, in full: a refusal ends with the command that helps. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.words import last_values_text, status_text
from hpcwatch.views.text import Line, Span, width_of

_WIDEST = 100
_INDENT = 3
_MOST_NODES = 10


def message(board: Board, node: NodeFigures) -> Line:
    """Return what a lost node's row says."""
    now_s = board.picture.monotonic_s
    said = Span("▲ " + status_text(node.status, now_s), "critical")
    return [said, Span(f" · {last_values_text(node.status, now_s)}", "dim")]


def reasons(
    board: Board, nodes: Sequence[NodeFigures], room: int, width: int, most: int = _MOST_NODES
) -> list[Line]:
    """Return the reasons that do not fit into their rows, each on the lines that it needs.

    ``room`` is the width of a row beside the node's name.
    """
    cut = [node for node in nodes if _is_cut(board, node, room)]
    lines: list[Line] = []
    for node in cut[:most]:
        lines += [[], *_reason(node, width)]
    if len(cut) > most:
        lines += [[], [Span(f" … {len(cut) - most} more nodes with reasons of their own", "dim")]]
    return lines


def _is_cut(board: Board, node: NodeFigures, room: int) -> bool:
    is_lost = node.status.state is NodeState.LOST and not node.is_current
    return is_lost and sum(width_of(span.text) for span in message(board, node)) > room


def _reason(node: NodeFigures, width: int) -> list[Line]:
    """Return a reason in rows. What stands behind its last colon is a command: on its own row."""
    words = clean(" ".join(node.status.reason.split()))
    before, _, command = words.rpartition(": ")
    room = max(min(width, _WIDEST) - _INDENT, 20)
    rows = textwrap.wrap(f"{before}:" if before else command, room, break_on_hyphens=False)
    if before:
        # As it is, for it is copied, unless the screen is too narrow.
        wide = max(width - _INDENT, 20)
        rows += textwrap.wrap(command, wide, break_on_hyphens=False)
    name: Line = [Span(" "), Span(clean(node.host), "bold"), Span(" is lost:")]
    return [name, *([Span(" " * _INDENT + row)] for row in rows)]
