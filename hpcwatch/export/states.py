"""Whether the readings of hosts arrive."""

from __future__ import annotations

import time

from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.monitor.node_status import LATE_INTERVALS, late_after_s
from hpcwatch.recording.store import Run

LOOKING_S = 0.05
"""The most time in which rules are evaluated per request; the others wait for the next."""


_APART_S = 60.0
"""How far a node's clock may be from ours: it tells the age of the first sample that we see."""


class Freshness:
    """Tells whether readings of hosts arrive, by our own clock, as clocks of nodes may differ."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._seen: dict[str, tuple[float, float]] = {}
        """Host -> the time of its last sample, and when we first saw that sample."""

    def is_up(self, host: HostTimeline, now_s: float) -> bool:
        """Return False if the last sample is late; ``now_s`` is ``time.monotonic``."""
        if not host.at_s:
            return False
        late_s = max(late_after_s(self._interval_s), LATE_INTERVALS * host.span_s[-1])
        last_s, since_s = self._seen.get(host.name, (0.0, 0.0))
        if last_s == host.at_s[-1]:
            return now_s - since_s <= late_s
        is_new = host.name in self._seen or _age_s(host) <= late_s + _APART_S
        self._seen[host.name] = host.at_s[-1], now_s if is_new else now_s - late_s - 1.0
        return is_new


def _age_s(host: HostTimeline) -> float:
    """Return how old a host's last sample is, by its own clock."""
    return time.time() - (host.at_s[-1] + host.clock.steps[-1].ahead_s)


def states(timeline: Timeline, fresh: Freshness, run: Run) -> dict[str, bool]:
    """Return whether each host's readings arrive. A host that was never read is left out."""
    now_s = time.monotonic()
    known = {name: fresh.is_up(host, now_s) for name, host in timeline.hosts.items()}
    names = dict.fromkeys([*run.hosts, *known])
    return {name: known[name] for name in names if name in known}
