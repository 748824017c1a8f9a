"""Which of a node's processes are the job's. A child of one that is, always is, too."""

from .tracked import Tracked
from .typed import Dict, Optional, Set


class Members:
    """Decides which processes are the job's by themselves, not by descent."""

    found_by = ""
    owner_id: Optional[int] = None
    """Number of the user whose job it is, if it is anybody's."""
    younger_than: Optional[int] = None
    """Pid of a process so young that all of the job's have higher ones; None if none is known."""
    is_below_us = True
    """What ends is waited for by ourselves, in the end: the kernel tells us what it used."""

    @property
    def is_absent(self) -> bool:
        """True if it is certain that nothing on the node is the job's: then its use is 0."""
        return False

    def seeds(self, fresh: Dict[int, Tracked]) -> Set[int]:
        """Return the pids of those that are the job's."""
        raise NotImplementedError

    def is_never(self, tracked: Tracked) -> bool:
        """True for one that is not the job's though its parent may be."""
        del tracked
        return False

    def may_become(self, tracked: Tracked) -> bool:
        """True if a young one that is not the job's may still turn out to be."""
        del tracked
        return False

    def took_over(self) -> bool:
        """True, once, if a surer way has been found: all processes are to be judged anew."""
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
    """All processes of the node but the kernel's own threads."""

    is_below_us = False

    def __init__(self, sees_all: bool = True) -> None:
        """Without ``sees_all`` /proc hides the processes of others (hidepid)."""
        self.found_by = "all" if sees_all else "visible"

    def seeds(self, fresh: Dict[int, Tracked]) -> Set[int]:
        """Return all that are no kernel threads."""
        return {pid for pid, one in fresh.items() if not is_kernels(one)}


def is_kernels(tracked: Tracked) -> bool:
    """True for a thread of the kernel: it has no memory of its own, and kthreadd as parent."""
    return tracked.stat.virtual_bytes == 0 and tracked.stat.ppid in (0, 2)
