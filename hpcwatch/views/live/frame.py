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
_WHOLE, _SHORT = 20, 4  # letters of a page's name
_LAST = 2  # how to get help and how to leave stay, however narrow the screen


def tabs_line(
    board: Board, names: Sequence[str], current: str | None, is_paused: bool, width: int
) -> Line:
    """Return the pages, the current one in brackets, and whether the picture is live.

    The only number is that of findings. Where there is no room for all names they are cut to four
    letters; then what goes without saying, that it is live, gives way; then only the current page
    is left.
    """
    liveness = [_liveness(board, is_paused)]
    if not names:
        return spread([Span("[WAITING]", "selected")], liveness, width)
    count = len(board.picture.findings)
    for length in (_WHOLE, _SHORT):
        spans = [_tab(name, current, length, count) for name in names]
        if line_width([*spans, *liveness]) <= width:
            return spread(spans, liveness, width)
    if _goes_without_saying(board, is_paused) and line_width(spans) <= width:
        return spans
    alone = [_tab(name, current, _WHOLE, count) for name in names if name == current]
    return spread(alone, liveness, width)


def _tab(name: str, current: str | None, length: int, findings: int) -> Span:
    said = name[:length] + (f"({findings})" if name == "FINDINGS" and findings else "")
    return Span(f"[{said}]", "selected") if name == current else Span(f" {said} ")


def _goes_without_saying(board: Board, is_paused: bool) -> bool:
    picture = board.picture
    has_ended = picture.job is not None and picture.job.has_ended
    return not (picture.replayed or is_paused or has_ended)


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
        spans += [Span("── ", "grey"), Span(f"{cut(text, width)} ")]
    left = max(width - line_width(spans), 0)
    return [*spans, Span("─" * left, "grey")]


def keys_line(
    is_opened: bool,
    is_paused: bool,
    width: int,
    own: Sequence[str] = (),
    of_page: Sequence[str] = (),
) -> Line:
    """Return the keys, as many as fit.

    A command's own go first, and in place of some; those ``of_page`` come after the first.
    """
    keys = list(_OPENED if is_opened else _PAGE)
    keys[1:1] = of_page
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
