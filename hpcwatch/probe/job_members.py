"""The processes of a scheduler's job, told from all others of its node."""

import os
from typing import Dict, Iterable, Optional, Set

from .evidence import (
    PROBE_NAME,
    JobIds,
    is_in_cgroup,
    is_in_environment,
    is_watcher,
    name_of,
    own_session,
    shepherded_id,
)
from .members import Everyone, Members, is_kernels
from .spec import Spec
from .tracked import Tracked

_CGROUP, _SHEPHERD, _ENVIRONMENT, _USER = range(4)
_WAYS = ("cgroup", "shepherd", "environment", "user")
"""From the surest to the least sure; what `JobUse.found_by` says."""


class JobMembers(Members):
    """The processes of a scheduler's job, or of a user, seen from outside.

    A cgroup, a shepherd and the environment each tell a process of the job for sure, so all of
    them count, and the surest that found any is named. Only while they find none all processes
    of the owner count.
    """

    is_below_us = False

    def __init__(self, spec: Spec, proc: str = "/proc", own_pid: Optional[int] = None) -> None:
        self._ids = JobIds(spec.job_ids)
        self.owner_id = _user_id(spec.user)
        self._proc = proc
        self._own = own_session(proc, os.getpid() if own_pid is None else own_pid)
        self._shepherds: Set[int] = set()
        self._way = _USER
        self._has_guessed = False
        self._has_taken_over = False

    @property
    def found_by(self) -> str:  # type: ignore[override]  # it changes with what is found
        """The surest way by which any process was found."""
        return _WAYS[self._way]

    def seeds(self, fresh: Dict[int, Tracked]) -> Set[int]:
        """Return those that show the job; while none ever did, those of its owner."""
        self._find_shepherds(fresh.values())
        ways = {}
        for tracked in fresh.values():
            way = self._way_of(tracked)
            if way is not None:
                ways[tracked.pid] = way
        surest = min(ways.values(), default=_USER)
        if surest < self._way:
            self._has_taken_over, self._has_guessed = self._has_guessed, False
            self._way = surest
        if self._way == _USER:
            self._has_guessed = self._has_guessed or bool(ways)
            return set(ways)
        return {pid for pid, way in ways.items() if way < _USER}

    def _find_shepherds(self, fresh: Iterable[Tracked]) -> None:
        """Remember the slurmstepds of the job; they are the scheduler's, their children its."""
        for tracked in fresh:
            self._shepherds.discard(tracked.pid)  # its number may have been another's
            job_id = shepherded_id(self._folder(tracked)) if _is_stepd(tracked) else None
            if job_id is not None and self._ids.match(job_id):
                self._shepherds.add(tracked.pid)

    def _way_of(self, tracked: Tracked) -> Optional[int]:
        """Return how a process shows that it is the job's, or None."""
        if is_kernels(tracked) or self._is_apart(tracked):
            return None
        folder = self._folder(tracked)
        if self._ids:
            if is_in_cgroup(folder, self._ids):
                tracked.is_in_cgroup = True
                return _CGROUP
            if tracked.stat.ppid in self._shepherds:
                return _SHEPHERD
            if is_in_environment(folder, self._ids):
                return _SHEPHERD if self._is_moms(tracked) else _ENVIRONMENT
        if self._way < _USER or _owner_id(folder) != self.owner_id:
            return None
        return None if is_watcher(tracked.stat.name, folder) else _USER

    def is_never(self, tracked: Tracked) -> bool:
        """True for the probe and what started it, and for the scheduler's daemons.

        Where all of a user's processes count, hpcwatch's own do not.
        """
        if self._is_apart(tracked):
            return True
        return self._way == _USER and is_watcher(tracked.stat.name, self._folder(tracked))

    def _is_apart(self, tracked: Tracked) -> bool:
        if tracked.pid in self._own or tracked.stat.name == PROBE_NAME:
            return True
        return _is_stepd(tracked)

    def may_become(self, tracked: Tracked) -> bool:
        """True for all but ourselves and the kernel's threads.

        A process gets its environment when it executes a program, and some daemons put it into
        the job's cgroup after they made it.
        """
        return tracked.pid not in self._own and not is_kernels(tracked)

    def took_over(self) -> bool:
        """True, once, if a process of the job itself was found after its owner's had to do."""
        has_taken_over, self._has_taken_over = self._has_taken_over, False
        return has_taken_over

    def _is_moms(self, tracked: Tracked) -> bool:
        """True for what PBS's daemon on the node has started."""
        return name_of(self._proc, tracked.stat.ppid) == b"pbs_mom"

    def _folder(self, tracked: Tracked) -> str:
        return "%s/%d" % (self._proc, tracked.pid)


def members_of(spec: Spec) -> Members:
    """Return who is looked for."""
    return Everyone() if spec.is_everyone else JobMembers(spec)


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
