"""Distinguish the processes of a scheduler's job from all others on its node."""

import os

from .cgroup_paths import is_sluid
from .evidence import (
    PROBE_NAME,
    JobIds,
    is_open,
    is_watcher,
    jobs_in_cgroup,
    name_of,
    own_session,
    shepherded_id,
    shown_in_environment,
)
from .members import Everyone, Members, Tracked, is_kernels
from .spec import Spec
from .typed import Callable, Dict, Iterable, List, Optional, Set

_CGROUP, _SHEPHERD, _ENVIRONMENT, _USER, _ANOTHERS = range(5)
_WAYS = ("cgroup", "shepherd", "environment", "user")
"""The values of `JobUse.found_by`, from the surest to the least sure."""
_NONE = "none"
_MOST_ANCESTORS = 64
_MANY = 4096


class JobMembers(Members):
    """The processes of a scheduler's job, or of a user, seen from outside.

    A cgroup, a shepherd and the environment each prove that a process is the job's; the surest sign
    that found any process is reported. The same signs prove that a process is another job's: such a
    process never counts. While no process of the job is found, the owner's remaining processes
    count instead, and that is reported as well.
    """

    is_below_us = False

    def __init__(self, spec: Spec, proc: str = "/proc", own_pid: Optional[int] = None) -> None:
        self._ids = JobIds(spec.job_ids)
        self.owner_id = _user_id(spec.user)
        self._proc = proc
        self._own = own_session(proc, os.getpid() if own_pid is None else own_pid)
        self._shepherds: Set[int] = set()
        self._others: Set[int] = set()
        """Processes of other jobs, their shepherds, and their descendants."""
        self._sluids: Dict[str, bool] = {}
        """Slurm's name of a job's cgroup -> whether it is our job's. A requeued job gets another,
        so that it may have several."""
        self._way = _USER
        self._guessed: Set[int] = set()
        self._has_taken_over = False
        self._sees_all = is_open(proc) or self.owner_id == os.getuid()

    @property
    def found_by(self) -> str:  # type: ignore[override]  # it changes with what is found
        """The surest way by which any process was found; ``none`` if the job has none here."""
        return _NONE if self.is_absent else _WAYS[self._way]

    @property
    def is_absent(self) -> bool:
        """True if nothing on the node was ever the job's, or may be."""
        is_unfound = self._way == _USER and not self._guessed
        return is_unfound and bool(self._ids) and self._sees_all

    @property
    def is_sure(self) -> bool:
        """True if what was found is the job's, and nothing else of the node is."""
        return self._way < _USER or self.is_absent

    def seeds(self, fresh: Dict[int, Tracked]) -> Set[int]:
        """Return the processes that are certainly the job's, else those that may be."""
        self._forget(fresh)
        self._find_shepherds(fresh.values())
        ways = {tracked.pid: self._way_of(tracked) for tracked in fresh.values()}
        self._others.update(pid for pid, way in ways.items() if way == _ANOTHERS)
        self._others.update(
            pid for pid, way in ways.items() if way is None and self._is_below(pid, fresh)
        )
        sure = {pid for pid, way in ways.items() if way is not None and way < _USER}
        surest = min((ways[pid] or 0 for pid in sure), default=_USER)
        if surest < self._way:
            self._has_taken_over = self._has_taken_over or bool(self._guessed)
            self._guessed = set()
            self._way = surest
        if self._way < _USER:
            return sure
        found = self._guess(fresh)
        self._guessed |= found
        return found

    def _forget(self, fresh: Dict[int, Tracked]) -> None:
        """Forget what was known of earlier processes with these pids."""
        self._shepherds -= set(fresh)
        self._others -= set(fresh)
        if len(self._others) > _MANY:
            self._others = {pid for pid in self._others if os.path.exists(self._path(pid))}

    def _find_shepherds(self, fresh: Iterable[Tracked]) -> None:
        """Remember the slurmstepds; they are the scheduler's, their children a job's."""
        for tracked in fresh:
            job_id = shepherded_id(self._folder(tracked)) if _is_stepd(tracked) else None
            if job_id is None:
                continue
            is_ours = self._ids.match(job_id)
            (self._shepherds if is_ours else self._others).add(tracked.pid)
            for name in filter(is_sluid, jobs_in_cgroup(self._folder(tracked))):
                self._sluids[name] = is_ours

    def _way_of(self, tracked: Tracked) -> Optional[int]:
        """Return how a process shows that it is the job's, or another's; None if it does not."""
        if is_kernels(tracked) or self._is_apart(tracked) or not self._ids:
            return None
        folder = self._folder(tracked)
        groups = jobs_in_cgroup(folder)
        if any(map(self._is_own_group, groups)):
            tracked.is_in_cgroup = True
            return _CGROUP
        if tracked.stat.ppid in self._shepherds:
            return _SHEPHERD
        shown = shown_in_environment(folder)
        if any(map(self._ids.match, shown.job_ids)):
            return self._way_by_environment(tracked, groups, shown.sluid)
        is_anothers = any(shown.job_ids) or any(self._is_others_group(name) for name in groups)
        return _ANOTHERS if is_anothers else None

    def _way_by_environment(
        self, tracked: Tracked, groups: List[str], sluid: Optional[str]
    ) -> Optional[int]:
        """Return how a process is known that has the job's id in its environment.

        In a group named by SLUID it also shows whose group that is, unless the group is known to be
        another job's: a job submitted from inside ours may have our environment.
        """
        for name in groups:
            if self._is_others_group(name):
                return _ANOTHERS
            if is_sluid(name) and sluid in (None, name):
                self._sluids[name] = True
                tracked.is_in_cgroup = True
                return _CGROUP
        return _SHEPHERD if self._is_moms(tracked) else _ENVIRONMENT

    def _is_own_group(self, name: str) -> bool:
        return self._sluids.get(name, False) if is_sluid(name) else self._ids.match(name)

    def _is_others_group(self, name: str) -> bool:
        if is_sluid(name):
            return self._sluids.get(name) is False
        return not self._ids.match(name)

    def _is_below(self, pid: int, fresh: Dict[int, Tracked]) -> bool:
        """True if a process descends from another job's."""
        for _ in range(_MOST_ANCESTORS):
            if pid in self._others:
                return True
            if pid not in fresh:
                return False
            pid = fresh[pid].stat.ppid
        return False

    def _guess(self, fresh: Dict[int, Tracked]) -> Set[int]:
        """Return the owner's processes that neither a known job nor hpcwatch started."""
        own = [
            tracked
            for tracked in fresh.values()
            if not is_kernels(tracked) and _owner_id(self._folder(tracked)) == self.owner_id
        ]
        for tracked in own:
            if is_watcher(tracked.stat.name, self._folder(tracked)):
                session = own_session(self._proc, tracked.pid)
                self._has_taken_over = self._has_taken_over or bool(session & self._guessed)
                self._guessed -= session
                self._own |= session
        return {
            tracked.pid
            for tracked in own
            if tracked.pid not in self._others and not self._is_apart(tracked)
        }

    def is_never(self, tracked: Tracked) -> bool:
        """True for the probe and its ancestors, the scheduler's daemons, and other jobs' processes.

        If all of a user's processes count, hpcwatch's own do not.
        """
        if self._is_apart(tracked) or tracked.pid in self._others:
            return True
        return self._way == _USER and is_watcher(tracked.stat.name, self._folder(tracked))

    def _is_apart(self, tracked: Tracked) -> bool:
        if tracked.pid in self._own or tracked.stat.name == PROBE_NAME:
            return True
        return _is_stepd(tracked)

    def may_become(self, tracked: Tracked) -> bool:
        """True for all processes except ourselves and the kernel's threads.

        A process gets its environment when it executes a program, and some daemons put it into
        the job's cgroup after they made it.
        """
        return tracked.pid not in self._own and not is_kernels(tracked)

    def took_over(self) -> bool:
        """True, once, if processes counted as the job's turned out to be others'."""
        has_taken_over, self._has_taken_over = self._has_taken_over, False
        return has_taken_over

    def _is_moms(self, tracked: Tracked) -> bool:
        """True for a process that PBS's daemon on the node started."""
        return name_of(self._proc, tracked.stat.ppid) == b"pbs_mom"

    def _folder(self, tracked: Tracked) -> str:
        return self._path(tracked.pid)

    def _path(self, pid: int) -> str:
        return "%s/%d" % (self._proc, pid)


class Beside(JobMembers):
    """The job's processes on this node that are not below the watched program."""

    def __init__(self, spec: Spec, is_programs: Callable[[Tracked], bool]) -> None:
        """``is_programs`` returns True for the program's own processes."""
        super().__init__(spec)
        self._is_programs = is_programs

    def _guess(self, fresh: Dict[int, Tracked]) -> Set[int]:
        del fresh  # processes that only may be the job's are left out: the program itself is known
        return set()

    def _is_apart(self, tracked: Tracked) -> bool:
        return super()._is_apart(tracked) or self._is_programs(tracked)


def members_of(spec: Spec) -> Members:
    """Return the members that a probe reads: all processes of the node, or a job's or a user's."""
    return Everyone(is_open("/proc")) if spec.is_everyone else JobMembers(spec)


def _is_stepd(tracked: Tracked) -> bool:
    return tracked.stat.name.startswith(b"slurmstepd")


def _owner_id(folder: str) -> Optional[int]:
    try:
        return os.stat(folder).st_uid
    except OSError:
        return None


def _user_id(user: Optional[str]) -> int:
    """Return a login name's number, ours if there is none; -1 if the node does not know it."""
    import pwd

    if user is None:
        return os.getuid()
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return int(user) if user.isdigit() and len(user) < 11 else -1
