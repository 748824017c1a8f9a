"""Strangers: the busiest processes on a node that do not belong to the job.

All processes of the node are read only while the node is busier than the job by half a core, and
then seldom. Any user may see the owner of a process, unless /proc is mounted with hidepid.
"""

import os
import time

from .evidence import is_open, is_watcher
from .listing import boot_time_s, login_name
from .members import STAT_BYTES
from .procfs import TICK_S, Ration, parse_table, read, text
from .procs import ProcessTable
from .schema import JobUse, Node, Stranger
from .typed import Dict, List, NamedTuple, Optional, Tuple

_EXCESS_CORES = 0.5  # our own threshold: less use by others is not reported
_LEAST_CORES = 0.1  # the least that a named process uses
_MOST_NAMED = 3
_LOOK_S = 10.0
_SHARE = 0.0005  # of the time that passes: it allows a look at a thousand processes every 16 s
_ORDINARY_UID = 1000  # login.defs(5): lower ids are the system's
_NOBODY_UID = 65534


class _Use(NamedTuple):
    """CPU seconds of the node and of the job so far."""

    at_s: float
    node_s: float
    job_s: float


class _Seen(NamedTuple):
    ticks: int
    started_ticks: int


class Strangers:
    """Names the processes outside the job that use most CPU: other users' and the owner's own."""

    def __init__(self, owner_id: Optional[int], proc: str = "/proc") -> None:
        self._owner_id = owner_id
        self._proc = proc
        self._boot_s = boot_time_s(proc)
        self._before: Optional[_Use] = None
        self._seen: Dict[int, _Seen] = {}
        self._seen_s = 0.0
        self._named: Optional[Dict[int, Tuple[int, str]]] = None
        """Process id -> its owner's id and name; None if nothing is known yet."""
        self._is_hidden = False
        self._ration = Ration(share=_SHARE, most_s=0.05, first_s=0.02)
        self._cost_s = 0.0

    def read(
        self, at_s: float, node: Node, job: JobUse, table: ProcessTable, errors: Dict[str, str]
    ) -> Optional[List[Stranger]]:
        """Return the busy ones with their present counters; None if it is not known who is busy."""
        now, before = _use(at_s, node, job), self._before
        if now is None:
            return None
        if before is None or now.at_s - before.at_s >= _LOOK_S:
            self._before = now
            if before is not None:
                self._judge(before, now, table)
        if self._is_hidden:
            errors["strangers"] = "/proc hides other users' processes (hidepid)"
        if self._named is None:
            return None
        found = [self._describe(pid) for pid in list(self._named) if pid not in table.tracked]
        return [one for one in found if one is not None]

    def _judge(self, before: _Use, now: _Use, table: ProcessTable) -> None:
        """Read all processes if the node is busier than the job, else forget them."""
        used_s = now.node_s - before.node_s - (now.job_s - before.job_s)
        if used_s <= _EXCESS_CORES * (now.at_s - before.at_s):
            self._seen, self._named, self._is_hidden = {}, {}, False
            return
        if not self._ration.allows(self._cost_s):
            return  # the named processes stay named
        self._is_hidden = not is_open(self._proc)
        if self._is_hidden:
            self._named = None
            return
        started_s = time.perf_counter()
        earlier, passed_s = self._seen, now.at_s - self._seen_s
        self._seen, self._seen_s = self._look(table), now.at_s
        self._named = self._busiest(earlier, passed_s) if earlier else None
        self._cost_s = time.perf_counter() - started_s
        self._ration.spend(self._cost_s)

    def _look(self, table: ProcessTable) -> Dict[int, _Seen]:
        """Read the CPU time of every process, except the job's, the kernel's and our own."""
        own = os.getpid()
        seen: Dict[int, _Seen] = {}
        for name in os.listdir(self._proc):
            if not name.isdigit() or int(name) in table.tracked or int(name) == own:
                continue
            fields = self._fields(int(name))
            if fields and fields[20] != b"0":  # a thread of the kernel has no memory of its own
                seen[int(name)] = _Seen(int(fields[11]) + int(fields[12]), int(fields[19]))
        return seen

    def _fields(self, pid: int) -> List[bytes]:
        """Return the fields of /proc/PID/stat after the name; none if it has ended or is hidden."""
        try:
            raw = read("%s/%d/stat" % (self._proc, pid), STAT_BYTES)
        except OSError:
            return []
        fields = raw[raw.rfind(b")") + 2 :].split()
        return fields if len(fields) > 20 else []

    def _busiest(self, earlier: Dict[int, _Seen], passed_s: float) -> Dict[int, Tuple[int, str]]:
        """Return the processes that used most CPU since the earlier look, with their owners."""
        used = [
            (seen.ticks - earlier[pid].ticks, pid)
            for pid, seen in self._seen.items()
            if pid in earlier and earlier[pid].started_ticks == seen.started_ticks
        ]
        named: Dict[int, Tuple[int, str]] = {}
        for ticks, pid in sorted(used, reverse=True):
            if ticks * TICK_S < _LEAST_CORES * passed_s or len(named) == _MOST_NAMED:
                break
            user_id = self._user_id(pid)
            if user_id is not None and self._counts(user_id):
                named[pid] = user_id, login_name(user_id)
        return named

    def _counts(self, user_id: int) -> bool:
        """True for the job's owner and ordinary users: daemons of the system belong to the node."""
        return user_id == self._owner_id or _ORDINARY_UID <= user_id != _NOBODY_UID

    def _user_id(self, pid: int) -> Optional[int]:
        """Return the real user id: /proc/PID itself is root's if the process may not be traced."""
        try:
            return parse_table(read("%s/%d/status" % (self._proc, pid))).get(b"Uid")
        except OSError:
            return None

    def _describe(self, pid: int) -> Optional[Stranger]:
        """Return a named process as it is now; None if it has ended, or is hpcwatch."""
        assert self._named is not None
        try:
            raw = read("%s/%d/stat" % (self._proc, pid), STAT_BYTES)
        except OSError:
            raw = b""
        fields = raw[raw.rfind(b")") + 2 :].split()
        name = raw[raw.find(b"(") + 1 : raw.rfind(b")")]
        user_id, user = self._named[pid]
        started_ticks = self._seen[pid].started_ticks if pid in self._seen else None
        if len(fields) <= 20 or int(fields[19]) != started_ticks:
            del self._named[pid]
            return None
        if is_watcher(name, "%s/%d" % (self._proc, pid)):
            del self._named[pid]
            return None
        return Stranger(
            pid=pid,
            name=text(name),
            user=user,
            is_owners=user_id == self._owner_id,
            started_at_s=self._boot_s and self._boot_s + started_ticks * TICK_S,
            cpu_user_s=int(fields[11]) * TICK_S,
            cpu_system_s=int(fields[12]) * TICK_S,
        )


def _use(at_s: float, node: Node, job: JobUse) -> Optional[_Use]:
    """Return the CPU time used so far; None if a part of it is unknown."""
    parts = node.cpu_user_s, node.cpu_system_s, job.cpu_user_s, job.cpu_system_s
    if None in parts:
        return None
    node_user, node_system, job_user, job_system = [part or 0.0 for part in parts]
    return _Use(at_s, node_user + node_system, job_user + job_system)
