"""The state of a watched node's connection, and from which age on its last sample is stale."""

from enum import Enum
from typing import NamedTuple, Optional

LATE_INTERVALS = 3.0
"""A sample that is this many intervals old is late."""


def late_after_s(interval_s: float) -> float:
    """Return from which age on a host's last sample is stale, in seconds."""
    return max(LATE_INTERVALS * interval_s, interval_s + 2.0)


class NodeState(str, Enum):
    """The state of a node's connection."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    """Connected, but its last sample is late."""
    LOST = "lost"
    """Not connected; retried later unless the user has to act."""


class NodeStatus(NamedTuple):
    """A node of a watched job. Times are ``time.monotonic``."""

    host: str
    state: NodeState
    since_s: float
    reason: str = ""
    """Why it is lost or stale, in words."""
    way: str = ""
    """The transport by which it is or was read, such as ``ssh`` or ``srun``."""
    last_at_s: Optional[float] = None
    """When its last sample arrived."""
    retry_at_s: Optional[float] = None
    """The time of the next attempt; None if there is none."""
