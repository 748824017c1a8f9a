"""Find processes that appeared since the last look, and ask which of them are the job's."""

import os
import resource
import time

from .members import STAT_BYTES, Members, Tracked
from .procfs import KeptFile
from .typed import Callable, Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

_SPARE_DESCRIPTORS = 64
_YOUNG_S = 5.0  # a process that begins gets its environment, its cgroup and its name within this


class Discovery:
    """Looks at each process of the node once, and again if it changes while it is young."""

    def __init__(self, members: Members, excluded: Callable[[], Iterable[int]], proc: str) -> None:
        self._members = members
        self._excluded = excluded
        self._proc = proc
        self._names: Set[str] = set()
        self._outsiders: Set[str] = set()
        self._waiting: Dict[int, Tuple[Tracked, float]] = {}
        self._loadavg: Optional[KeptFile] = None
        self._newest = b""
        self._is_first = True
        self._kept = 0
        self._most_kept = _descriptor_budget()

    def find(self, known: Dict[int, Tracked], changed: Iterable[Tracked] = ()) -> List[Tracked]:
        """Return new processes of the job, and add them to ``known``.

        Processes in ``changed`` are known and have executed another program: they may show more.
        """
        names = set(os.listdir(self._proc)) if self._may_be_new() else None
        fresh = self._woken() if self._waiting else {}
        since_s = {pid: self._waiting[pid][1] for pid in fresh}
        if names is not None:
            self._open_new(self._likely(names), fresh)
        if not fresh and not changed:
            return []
        for pid in self._excluded() if fresh else ():
            if pid in fresh:
                self.drop(fresh[pid])
                self._outsiders.add(str(fresh.pop(pid).pid))
        found = self._adopt(fresh, known, changed)
        for tracked in fresh.values():
            self._refuse(tracked, names, since_s.get(tracked.pid))
        return found

    def _may_be_new(self) -> bool:
        """False if the node has started no process since this was asked last (/proc/loadavg)."""
        try:
            if self._loadavg is None:
                self._loadavg = KeptFile(self._proc + "/loadavg")
            newest = self._loadavg.read().rpartition(b" ")[2]
        except OSError:
            return True
        is_same = newest == self._newest
        self._newest = newest
        return not is_same

    def _likely(self, names: Set[str]) -> Set[str]:
        """Return the pids to look at; the first time only those that may be the job's.

        Numbers are given in rising order until the highest: as long as the newest is above a root
        that has just begun, so is all that descends from it. A short run ends before the others,
        thousands on some login nodes, are looked at; for a longer one they are the next time.
        """
        root, is_first, self._is_first = self._members.younger_than, self._is_first, False
        if root is None or not is_first or not self._newest.strip().isdigit():
            return names
        if int(self._newest) <= root:
            return names
        self._newest = b""
        return {name for name in names if name.isdigit() and int(name) > root}

    def _open_new(self, names: Set[str], fresh: Dict[int, Tracked]) -> None:
        """Add every process that was never looked at to ``fresh``."""
        self._outsiders &= names
        for name in names - self._outsiders - self._names:
            if not name.isdigit():
                self._outsiders.add(name)
                continue
            tracked = self._open(name)
            if tracked is not None:
                fresh[tracked.pid] = tracked

    def _woken(self) -> Dict[int, Tracked]:
        """Return young processes that were rejected and have run since."""
        woken: Dict[int, Tracked] = {}
        now_s = time.monotonic()
        for pid, (tracked, since_s) in list(self._waiting.items()):
            try:
                has_changed = tracked.has_changed()
            except (OSError, ValueError, IndexError):
                self._forget_waiting(tracked)
                continue
            if has_changed:
                woken[pid] = tracked
            elif now_s - since_s > _YOUNG_S:
                self._forget_waiting(tracked)
        return woken

    def _forget_waiting(self, tracked: Tracked) -> None:
        del self._waiting[tracked.pid]
        self.drop(tracked)

    def _adopt(
        self, fresh: Dict[int, Tracked], known: Dict[int, Tracked], changed: Iterable[Tracked]
    ) -> List[Tracked]:
        """Move the job's from ``fresh`` to ``known``, by their own signs or by their parent."""
        judged = dict(fresh)
        judged.update((tracked.pid, tracked) for tracked in changed)
        seeds = [fresh[pid] for pid in self._members.seeds(judged) if pid in fresh]
        chosen = seeds or self._children(fresh, known)
        found: List[Tracked] = []
        while chosen:  # a child may have a lower pid than its parent: repeat until nothing is added
            for tracked in sorted(chosen, key=lambda one: one.pid):
                known[tracked.pid] = fresh.pop(tracked.pid)
                self._waiting.pop(tracked.pid, None)
                self._outsiders.discard(str(tracked.pid))
                self._names.add(str(tracked.pid))
                tracked.allowed = allowed(tracked.pid)
                found.append(tracked)
            chosen = self._children(fresh, known)
        return found

    def _children(self, fresh: Dict[int, Tracked], known: Dict[int, Tracked]) -> List[Tracked]:
        is_never = self._members.is_never
        return [one for one in fresh.values() if one.stat.ppid in known and not is_never(one)]

    def _refuse(
        self, tracked: Tracked, names: Optional[Set[str]], since_s: Optional[float]
    ) -> None:
        """Remember a process that is not the job's, or not yet."""
        now_s = time.monotonic()
        is_young = since_s is None or now_s - since_s < _YOUNG_S
        if is_young and tracked.descriptor is not None and self._members.may_become(tracked):
            self._outsiders.add(str(tracked.pid))
            self._waiting[tracked.pid] = (tracked, since_s or now_s)
            return
        self._waiting.pop(tracked.pid, None)
        self.drop(tracked)
        # Its parent has just gone, so it gets a new one: look again.
        is_orphan = names is not None and str(tracked.stat.ppid) not in names
        if not (is_orphan and tracked.stat.ppid and self._members.is_below_us):
            self._outsiders.add(str(tracked.pid))
        else:
            self._newest = b""

    def _open(self, name: str) -> Optional[Tracked]:
        try:
            descriptor = os.open("%s/%s/stat" % (self._proc, name), os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError:  # hidden from us (hidepid): never one of ours
            self._outsiders.add(name)
            return None
        except OSError:  # gone, or no descriptor left: look again at the next tick
            self._newest = b""
            return None
        try:
            tracked = Tracked(int(name), descriptor, os.read(descriptor, STAT_BYTES))
        except (OSError, ValueError, IndexError):
            os.close(descriptor)
            return None
        self._kept += 1
        if self._kept > self._most_kept:
            self.drop(tracked)
        return tracked

    def drop(self, tracked: Tracked) -> None:
        """Close the descriptor of a process that is no longer read, or that is beyond our limit."""
        if tracked.descriptor is not None:
            self._kept -= 1
            tracked.close()

    def forget(self, tracked: Tracked) -> None:
        """Forget a known process that has ended."""
        self._names.discard(str(tracked.pid))
        self.drop(tracked)

    def expel(self, tracked: Tracked) -> None:
        """Forget a known process that is not the job's, permanently."""
        self.forget(tracked)
        self._outsiders.add(str(tracked.pid))

    def start_over(self) -> None:
        """Make the next look judge every process again."""
        for tracked, _ in list(self._waiting.values()):
            self._forget_waiting(tracked)
        self._outsiders.clear()
        self._newest = b""

    def close(self) -> None:
        """Close the descriptors of processes that are not known."""
        self.start_over()
        self._loadavg = None


def _descriptor_budget() -> int:
    """Raise our soft limit of open files to the hard limit; return how many we may keep."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass
    return max((65536 if soft == resource.RLIM_INFINITY else soft) - _SPARE_DESCRIPTORS, 0)


def allowed(pid: int) -> FrozenSet[int]:
    """Return the CPUs a process may run on; empty if it has ended."""
    try:
        return frozenset(os.sched_getaffinity(pid))
    except OSError:
        return frozenset()
