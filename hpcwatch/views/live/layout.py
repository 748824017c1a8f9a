"""Bars, and pieces of lines put together. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.views.text import Line, Span, fit, line_width

_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(share: float | None, width: int) -> str:
    """Draw a share, 0 to 1, in eighths of a column; what is not nothing is seen."""
    if share is None or share != share or width <= 0:
        return " " * max(width, 0)
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if eighths == 0 and share > 0:
        eighths = 1
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def flow(pieces: Sequence[Line], width: int, most_lines: int, indent: int = 1) -> list[Line]:
    """Put pieces one after the other with `` · `` between them, on as many lines as they need.

    What does not fit on the last line is cut.
    """
    lines: list[list[Span]] = []
    for piece in pieces:
        needed = line_width(piece) + 3
        if lines and (len(lines) == most_lines or line_width(lines[-1]) + needed <= width):
            lines[-1] += [Span(" · ", "dim"), *piece]
        elif most_lines > 0:
            lines.append([Span(" " * indent), *piece])
    return [fit(line, width) for line in lines]


def spread(left: Line, right: Line, width: int, filler: Span | None = None) -> Line:
    """Put one line at the left and one at the right end; the left one gives way."""
    fill = filler or Span(" ")
    room = width - line_width(right)
    if room <= 0:
        return fit(right, width)
    kept = fit(left, room)
    return [*kept, Span(fill.text * (room - line_width(kept)), fill.style), *right]
