"""What stands around a page: the tabs above it, the rule and the keys below it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.units import three_digits
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.layout import spread
from hpcwatch.views.text import Line, Span, cut, line_width

_OPENED = ("↑↓ scroll", "Esc back", "p pause", "r refresh", "? help", "q back")
_PAGE = (
    "↑↓ select",
    "Enter open",
    "Tab next page",
    "s sort",
    "/ filter",
    "p pause",
    "r refresh",
    "? help",
    "q quit",
)
_LIVE = ("p pause", "r refresh")
"""What a recording does otherwise, or cannot."""
_LAST = 2  # how to get help and how to leave stay, however narrow the screen


def tabs_line(
    board: Board, names: Sequence[str], current: str | None, is_paused: bool, width: int
) -> Line:
    """Return the pages by number, the current one in brackets, and whether the picture is live.

    Where there is no room for all names, the last ones become numbers, then the first.
    """
    liveness = [_liveness(board, is_paused)]
    if not names:
        return spread([Span("[WAITING]", "selected")], liveness, width)
    named_count = len(names)
    spans = _tabs(names, current, named_count)
    while named_count and line_width([*spans, *liveness]) > width:
        named_count -= 1
        spans = _tabs(names, current, named_count)
    return spread(spans, liveness, width)


def _tabs(names: Sequence[str], current: str | None, named_count: int) -> list[Span]:
    """Return the tabs; the first ones and the current one show their names."""
    return [
        Span(f"[{name} {number}]", "selected")
        if name == current
        else Span(f" {name} {number} " if number <= named_count else f" {number} ")
        for number, name in enumerate(names, 1)
    ]


def _liveness(board: Board, is_paused: bool) -> Span:
    if board.picture.replayed:
        return Span(f"{clean(board.picture.replayed)} ", "ok")
    if is_paused:
        return Span("PAUSED ", "warning")
    if board.picture.job is not None and board.picture.job.has_ended:
        return Span("ended, last values ", "warning")
    every = three_digits(board.picture.interval_s)
    return Span(f"live, every {every} s " if board.nodes else "", "ok")


def rule(status: Sequence[str], width: int) -> Line:
    """Return the rule below a page, with what the page says of itself in it."""
    spans: list[Span] = []
    for text in status:
        spans += [Span("── ", "dim"), Span(f"{cut(text, width)} ")]
    left = max(width - line_width(spans), 0)
    return [*spans, Span("─" * left, "dim")]


def keys_line(is_opened: bool, is_paused: bool, width: int, own: Sequence[str] = ()) -> Line:
    """Return the keys, as many as fit; a command's own go first, and in place of some."""
    keys = list(_OPENED if is_opened else _PAGE)
    if own:
        keys = [*own, *(key for key in keys if key not in _LIVE)]
    while len(keys) > _LAST and line_width([Span("  ".join(keys))]) + 1 > width:
        del keys[-_LAST - 1]
    said = "  ".join(keys)
    return [Span(" " + (said.replace("p pause", "p go on") if is_paused else said))]


def filter_line(pattern: str, width: int) -> Line:
    """Return the filter that is being typed."""
    left = [Span(" filter: ", "bold"), Span(clean(pattern)), Span("▏", "ok")]
    return spread(left, [Span("Enter keep  Esc clear ", "dim")], width)
