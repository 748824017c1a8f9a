"""When a request would start, in words. Pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_seconds

if TYPE_CHECKING:
    from hpcwatch.cluster.start_estimate import Start, Starts

_NOW_S = 60.0
_SOON_S = 7200.0
_DAY_S = 86400.0


def sentence(starts: Starts, now_s: float) -> str:
    """Say it of what was requested and of what is suggested, in that order.

    ``As requested: about 06:10. As suggested: in 14 min (Slurm's own estimate).``
    """
    asked, suggested = (_words(one, now_s) for one in starts.starts)
    return f"As requested: {asked}. As suggested: {suggested} ({starts.by})."


def _words(start: Start, now_s: float) -> str:
    if start.at_s is None:
        return f"not known, {clean(start.why)}"
    wait_s = start.at_s - now_s
    if wait_s < _NOW_S:
        return "now"
    if wait_s < _SOON_S:
        return f"in {format_seconds(wait_s)}"
    local = time.localtime(start.at_s)
    is_near = wait_s < _DAY_S
    return f"about {time.strftime('%H:%M' if is_near else '%Y-%m-%d %H:%M', local)}"
