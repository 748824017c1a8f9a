"""Decides which processes of a node are the job's, and keeps what was last read of each.

Every child of a job's process is the job's, too.
"""

import os

from .procfs import parse_stat
from .totals import Share
from .typed import Dict, FrozenSet, Optional, Set, Tuple

RANK_LOOKS = 2
"""How many times a process's rank is looked for while its environment cannot be read."""
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
        "rank",
        "rank_looks",
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
        self.rank: Optional[int] = None
        self.rank_looks = 0
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
    def is_rank_known(self) -> bool:
        """True once its rank was read, or it was seen to have none."""
        return self.rank_looks >= RANK_LOOKS

    @property
    def is_alive(self) -> bool:
        """False for a process that has ended and was not yet waited for."""
        return self.stat.state not in "ZX"

    @property
    def reaped(self) -> Tuple[int, int]:
        """User and system ticks of the children it has waited for."""
        return self.stat.reaped_user_ticks, self.stat.reaped_system_ticks

    def has_changed(self) -> bool:
        """Read its stat again; True if it changed. Raises OSError if the process has ended."""
        assert self.descriptor is not None
        raw = os.pread(self.descriptor, STAT_BYTES, 0)
        if raw == self.raw:
            return False
        self.raw, self.stat = raw, parse_stat(raw)
        return True

    def close(self) -> None:
        """Close the kept descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class Members:
    """Decides which processes are the job's by their own signs, not by descent."""

    found_by = ""
    owner_id: Optional[int] = None
    """Number of the user who owns the job, if there is one."""
    younger_than: Optional[int] = None
    """A pid below all pids of the job's processes; None if none is known."""
    is_below_us = True
    """True if we wait for the processes ourselves, so that the kernel reports what they used."""

    @property
    def is_absent(self) -> bool:
        """True if certainly nothing on the node is the job's: then its use is 0."""
        return False

    def seeds(self, fresh: Dict[int, Tracked]) -> Set[int]:
        """Return the pids of the processes that are the job's."""
        raise NotImplementedError

    def is_never(self, tracked: Tracked) -> bool:
        """True for a process that is not the job's although its parent may be."""
        del tracked
        return False

    def may_become(self, tracked: Tracked) -> bool:
        """True if a young process may still turn out to be the job's."""
        del tracked
        return False

    def took_over(self) -> bool:
        """True, once, if a surer sign of the job was found: then all processes are judged again."""
        return False


class Tree(Members):
    """The processes below ``root_pid``, which itself is not one of them."""

    found_by = "tree"

    def __init__(self, root_pid: int, is_young: bool = False) -> None:
        """``is_young`` says that the root has just begun."""
        self._root_pid = root_pid
        self.younger_than = root_pid if is_young else None

    def seeds(self, fresh: Dict[int, Tracked]) -> Set[int]:
        """Return the root's children."""
        return {pid for pid, one in fresh.items() if one.stat.ppid == self._root_pid}


class Everyone(Members):
    """All processes of the node except the kernel's threads."""

    is_below_us = False

    def __init__(self, sees_all: bool = True) -> None:
        """Without ``sees_all`` /proc hides the processes of others (hidepid)."""
        self.found_by = "all" if sees_all else "visible"

    def seeds(self, fresh: Dict[int, Tracked]) -> Set[int]:
        """Return all processes that are no kernel threads."""
        return {pid for pid, one in fresh.items() if not is_kernels(one)}


def is_kernels(tracked: Tracked) -> bool:
    """True for a thread of the kernel: it has no memory of its own, and kthreadd is its parent."""
    return tracked.stat.virtual_bytes == 0 and tracked.stat.ppid in (0, 2)
