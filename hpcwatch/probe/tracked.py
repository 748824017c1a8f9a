"""A process that is followed: the open descriptor of its stat, and what was last read of it."""

import os

from .procfs import parse_stat
from .totals import Share
from .typed import Dict, FrozenSet, Optional, Tuple

STAT_BYTES = 1024  # the line is under 400 bytes; the name is at most 15


class Tracked:
    """One living process of the job and what was last read of it."""

    __slots__ = (
        "allowed",
        "blocked_count",
        "descriptor",
        "details_s",
        "estimate_bytes",
        "file_bytes",
        "io",
        "is_in_cgroup",
        "listed_ticks",
        "named",
        "pid",
        "pss_at_fault_count",
        "pss_at_private_bytes",
        "pss_at_rss_bytes",
        "pss_bytes",
        "pss_file_bytes",
        "pss_rate_s",
        "pss_shmem_bytes",
        "raw",
        "reaped_seen",
        "runnable_count",
        "seen_rss_bytes",
        "share",
        "shared_bytes",
        "shared_huge_bytes",
        "stat",
        "table",
        "user",
    )

    def __init__(self, pid: int, descriptor: Optional[int], raw: bytes) -> None:
        self.pid = pid
        self.descriptor = descriptor
        self.raw = raw
        self.stat = parse_stat(raw)
        self.listed_ticks = 0
        self.reaped_seen = self.reaped
        self.user: Optional[str] = None
        self.details_s = 0.0
        self.table: Dict[bytes, int] = {}
        self.io: Optional[Dict[bytes, int]] = None
        self.allowed: FrozenSet[int] = frozenset()
        self.runnable_count = 0
        self.blocked_count = 0
        self.named = False
        self.is_in_cgroup = False
        self.share: Optional[Share] = None
        # Kept by the memory reader:
        self.estimate_bytes = 0
        self.pss_bytes: Optional[int] = None
        self.pss_file_bytes = 0
        self.pss_shmem_bytes = 0
        self.pss_at_fault_count = 0
        self.shared_bytes = 0
        self.shared_huge_bytes = 0
        self.seen_rss_bytes = 0
        self.file_bytes = 0
        self.pss_at_rss_bytes = -1
        self.pss_at_private_bytes: Optional[int] = None
        self.pss_rate_s: Optional[float] = None

    @property
    def is_alive(self) -> bool:
        """False for one that has ended and was not waited for yet."""
        return self.stat.state not in "ZX"

    @property
    def reaped(self) -> Tuple[int, int]:
        """User and system ticks of the children it has waited for."""
        return self.stat.reaped_user_ticks, self.stat.reaped_system_ticks

    def has_changed(self) -> bool:
        """Read its stat again; True if there is news. Raises OSError if it has ended."""
        assert self.descriptor is not None
        raw = os.pread(self.descriptor, STAT_BYTES, 0)
        if raw == self.raw:
            return False
        self.raw, self.stat = raw, parse_stat(raw)
        return True

    def close(self) -> None:
        """Give the kept descriptor back."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
