"""Whether the readings of hosts arrive."""

from __future__ import annotations

import time

from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.monitor.node_status import LATE_INTERVALS, late_after_s
from hpcwatch.recording.store import Run

LOOKING_S = 0.05
"""How long the rules may be asked for one scrape; the rest is asked for the next one."""


_APART_S = 60.0
"""How far a node's clock may be from ours where nothing else tells how old its reading is."""


class Freshness:
    """Whether readings of hosts arrive, by our own clock: those of nodes may differ."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._seen: dict[str, tuple[float, float]] = {}
        """Host -> the time of its last sample, and when we saw that one first."""

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
    """Return whether the readings of each host arrive; a host that was never read is unknown."""
    now_s = time.monotonic()
    known = {name: fresh.is_up(host, now_s) for name, host in timeline.hosts.items()}
    names = dict.fromkeys([*run.hosts, *known])
    return {name: known[name] for name in names if name in known}
