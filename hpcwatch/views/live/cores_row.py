"""How busy each core of a node is, as a row of bars. Pure."""

from __future__ import annotations

import math

from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.text import Line, Span, line_width, sparkline

_GROUP = 8  # cores are shown in groups of this size
_HOT = 0.9
_CALM = 0.05
_LABEL = " cores  "
_MOST_ROWS = 2


def core_shares(node: NodeFigures) -> list[float] | None:
    """Return how busy each core of the node was between the last two samples, 0 to 1.

    None until there are two samples; NaN where a counter went backwards.
    """
    sample, before = node.sample, node.before
    if sample is None or sample.node is None or before is None or before.node is None:
        return None
    now, then = sample.node.core_busy_s, before.node.core_busy_s
    passed_s = sample.uptime_s - before.uptime_s
    if now is None or then is None or len(now) != len(then) or passed_s <= 0:
        return None
    shares = [(end - start) / passed_s for end, start in zip(now, then)]
    return [min(share, 1.0) if share >= 0 else math.nan for share in shares]


def cores_rows(node: NodeFigures, width: int, more: str) -> list[Line]:
    """Return a bar per core in at most two rows, then what that comes to in words.

    Where the cores have no room, a bar is the mean of several, and the words say of how many.
    """
    shares = core_shares(node)
    if shares is None:
        is_first = node.before is None
        why = "each core needs two readings" if is_first else "each core is unknown"
        return [[Span(_LABEL, "bold"), Span(f"{why} · {more}", "dim")]]
    hot = sum(share >= _HOT for share in shares)
    calm = sum(share < _CALM for share in shares)
    said = f"{hot} of {len(shares)} above {100 * _HOT:.0f} %, {calm} below {100 * _CALM:.0f} %"
    said = f"{said} · {more}"
    each = _each(len(shares), width)
    if each > 1:
        said = f"a bar is {each} cores · {said}"
        shares = _means(shares, each)
    rows = _bars(shares, width)
    if line_width(rows[-1]) + len(said) + 1 <= width:
        rows[-1] = [*rows[-1], Span(f" {said}", "dim")]
        return rows
    return [*rows, [Span(" " * len(_LABEL)), Span(said, "dim")]]


def _room(width: int) -> int:
    """Return how many bars a row has."""
    return max((width - len(_LABEL)) // (_GROUP + 1), 1) * _GROUP


def _each(count: int, width: int) -> int:
    """Return how many cores one bar stands for."""
    return math.ceil(count / (_MOST_ROWS * _room(width)))


def _means(shares: list[float], each: int) -> list[float]:
    made = []
    for first in range(0, len(shares), each):
        known = [share for share in shares[first : first + each] if share == share]
        made.append(sum(known) / len(known) if known else math.nan)
    return made


def _bars(shares: list[float], width: int) -> list[Line]:
    rows: list[Line] = []
    room = _room(width)
    for first in range(0, len(shares), room):
        row = [Span(" " * len(_LABEL) if first else _LABEL, "bold")]
        for start in range(first, min(first + room, len(shares)), _GROUP):
            group = shares[start : start + _GROUP]
            row += [Span(sparkline([share], 1.0, 1), _style(share)) for share in group]
            row.append(Span(" "))
        rows.append(row)
    return rows


def _style(share: float) -> str:
    if share != share or share < _CALM:
        return "grey"
    return "warning" if share >= _HOT else "ok"
