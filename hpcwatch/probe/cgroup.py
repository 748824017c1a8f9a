"""The control group of the job, versions 1 and 2: used, cache, limit, peak, kills, throttling.

Sources: kernel documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
"""

import os
import re
import time
from typing import Dict, List, NamedTuple, Optional, Tuple

from .procfs import Mount, parse_mounts, read, read_all
from .schema import Cgroup

_NO_LIMIT_BYTES = 1 << 60  # version 1 says "none" with a number near 2**63
_SELDOM_S = 10.0
_GROUPS_MOST = 64  # below a job's, that are asked for kills: 20 µs each
_JOB = re.compile(
    r"^(?P<group>.*(?:/slurm[^/]*(?:/uid_\d+)?/job_\d+|/[^/]*slurmstepd\.scope/job_\d+"
    r"|/pbs_jobs\.service/jobid/[^/]+|/torque/[^/]+))(?:/|$)"
)
"""Slurm v1 and v2, the OpenPBS hook, Torque's cpuset: the job's own level of the path."""


def job_id_in(path: str) -> Optional[str]:
    """Return the id of the job whose cgroup, or one below it, this path is."""
    match = _JOB.match(path)
    if match is None:
        return None
    name = match.group("group").rpartition("/")[2]
    # Slurm's numbers have a word before them, PBS's ids end with their server's name.
    return name[len("job_") :] if name.startswith("job_") else name


class Place(NamedTuple):
    """A group in a mounted hierarchy. ``top`` is where the visible hierarchy ends."""

    folder: str
    top: str
    path: str
    is_job: bool


class CgroupReader:
    """Reads the group that a process is in, at the job's level where a scheduler made one."""

    def __init__(self, pid: int, root: str = "") -> None:
        """Find the places. Raises OSError if the process or its groups cannot be read."""
        mounts = parse_mounts(read_all(root + "/proc/self/mountinfo"))
        groups = _parse_groups(read("%s/proc/%d/cgroup" % (root, pid)))
        self._last: Optional[Cgroup] = None
        self._read_s = 0.0
        self._kills: Dict[str, int] = {}
        self._unified = _place(mounts, groups, "", root)
        self._memory = _place(mounts, groups, "memory", root)
        self._cpuacct = _place(mounts, groups, "cpuacct", root)
        self._cpu = _place(mounts, groups, "cpu", root)

    @property
    def is_job(self) -> bool:
        """True if the memory it reads is that of a group which a scheduler made for a job."""
        place = self._memory or self._unified
        return place is not None and place.is_job and place.folder != place.top

    def exists(self) -> bool:
        """False once the group has been removed."""
        place = self._memory or self._unified
        return place is not None and os.path.isdir(place.folder)

    def read(self) -> Optional[Cgroup]:
        """Return the group's figures, or None if no controller that counts is mounted.

        Those of a group that is not the job's and limits nothing are of no use, and not asked for
        at every tick.
        """
        last = self._last
        idle = last is not None and not last.is_job and last.limit_bytes is None
        if not idle or time.monotonic() - self._read_s >= _SELDOM_S:
            self._last, self._read_s = self._read(), time.monotonic()
        return self._last

    def _read(self) -> Optional[Cgroup]:
        if self._memory is not None:
            return self._read_v1(self._memory)
        if self._unified is not None and _exists(self._unified, "memory.stat"):
            return self._read_v2(self._unified)
        return None

    def _read_v2(self, place: Place) -> Cgroup:
        stat = _table(place, "memory.stat")
        kernel = [stat.get(name) for name in ("slab_unreclaimable", "kernel_stack", "pagetables")]
        limit, limit_path = _smallest_limit(place, "memory.max")
        cpu = _table(place, "cpu.stat")
        return Cgroup(
            path=place.path,
            is_job=place.is_job,
            used_bytes=_sum_known([stat.get("anon"), stat.get("shmem")] + kernel),
            cache_bytes=_minus(stat.get("file"), stat.get("shmem")),
            limit_bytes=limit,
            limit_path=limit_path,
            peak_bytes=_number(place, "memory.peak"),
            oom_kill_count=_table(place, "memory.events").get("oom_kill"),
            cpu_s=_scaled(cpu.get("usage_usec"), 1e-6),
            cpu_throttled_s=_scaled(cpu.get("throttled_usec"), 1e-6),
            cpu_quota_cores=_quota(_words(place, "cpu.max")),
        )

    def _read_v1(self, place: Place) -> Cgroup:
        stat = _table(place, "memory.stat")
        # Kernel memory is left out: version 1 counts reclaimable caches of names in it.
        shared = stat.get("total_shmem", 0)
        limit, limit_path = _smallest_limit(place, "memory.limit_in_bytes")
        of_all = stat.get("hierarchical_memory_limit", _NO_LIMIT_BYTES)
        if of_all < min(_NO_LIMIT_BYTES, limit or _NO_LIMIT_BYTES):
            limit, limit_path = of_all, "above " + place.path  # a container hides whose it is
        throttled = _table(self._cpu, "cpu.stat").get("throttled_time")
        quota = _words(self._cpu, "cpu.cfs_quota_us") + _words(self._cpu, "cpu.cfs_period_us")
        cpu_s = None
        # A job's CPU counts as its own only where that hierarchy, too, has a group for the job.
        if self._cpuacct is not None and self._cpuacct.is_job == place.is_job:
            cpu_s = _scaled(_number(self._cpuacct, "cpuacct.usage"), 1e-9)
        return Cgroup(
            path=place.path,
            is_job=place.is_job,
            used_bytes=_sum_known([stat.get("total_rss"), shared]),
            cache_bytes=_minus(stat.get("total_cache"), shared),
            limit_bytes=limit,
            limit_path=limit_path,
            peak_bytes=_number(place, "memory.max_usage_in_bytes"),
            oom_kill_count=self._killed_v1(place),
            cpu_s=cpu_s,
            cpu_throttled_s=_scaled(throttled, 1e-9),
            cpu_quota_cores=_quota(quota),
        )

    def _killed_v1(self, place: Place) -> Optional[int]:
        """Return the kills for want of memory in the group, and in those below if it is a job's.

        Version 1 counts a kill in the victim's own group alone: that of a step or a task, which
        goes with it, so that what was counted is remembered.
        """
        for folder in _groups_below(place.folder) if place.is_job else [place.folder]:
            count = _table(place._replace(folder=folder), "memory.oom_control").get("oom_kill")
            if count is not None:
                self._kills[folder] = count
        return sum(self._kills.values()) if self._kills else None


def _groups_below(folder: str) -> List[str]:
    """Return a group's folder and those below it, nearest first."""
    found = [folder]
    for group in found:
        try:
            with os.scandir(group) as entries:
                found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:  # it has just been removed
            continue
        if len(found) >= _GROUPS_MOST:
            break
    return found[:_GROUPS_MOST]


def _parse_groups(raw: bytes) -> Dict[str, str]:
    """Parse /proc/PID/cgroup into controller -> path; the unified hierarchy is ``""``."""
    groups = {}
    for line in raw.decode("utf-8", "surrogateescape").splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            for controller in controllers.split(","):
                groups[controller] = path
    return groups


def _place(
    mounts: List[Mount], groups: Dict[str, str], controller: str, root: str
) -> Optional[Place]:
    """Find where a controller's hierarchy is mounted and the process's group in it."""
    path = groups.get(controller)
    if path is None:
        return None
    kind = "cgroup" if controller else "cgroup2"
    for mount in mounts:
        if mount.kind != kind or (controller and controller not in mount.options.split(",")):
            continue
        match = _JOB.match(path)
        job_path = match.group("group") if match else path
        # In a container the mount shows only a part of the hierarchy, from mount.root down.
        inside = job_path
        if (job_path + "/").startswith(mount.root.rstrip("/") + "/"):
            inside = job_path[len(mount.root.rstrip("/")) :]
        top = root + mount.point
        folder = os.path.normpath(top + "/" + inside)
        if not os.path.isdir(folder):
            folder = top
        return Place(folder, top, job_path, match is not None)
    return None


def _exists(place: Place, name: str) -> bool:
    return os.path.exists(os.path.join(place.folder, name))


def _words(place: Optional[Place], name: str) -> List[str]:
    """Return a file's words; none if it cannot be read."""
    if place is None:
        return []
    try:
        return read(os.path.join(place.folder, name)).decode("ascii", "replace").split()
    except OSError:
        return []


def _number(place: Place, name: str) -> Optional[int]:
    words = _words(place, name)
    return int(words[0]) if words and _is_number(words[0]) else None


def _table(place: Optional[Place], name: str) -> Dict[str, int]:
    """Read ``key number`` lines; unreadable files and odd lines give nothing."""
    words = _words(place, name)
    return {key: int(value) for key, value in zip(words[::2], words[1::2]) if _is_number(value)}


def _smallest_limit(place: Place, name: str) -> Tuple[Optional[int], Optional[str]]:
    """Return the smallest limit of the group and its visible ancestors, and whose it is."""
    best: Optional[int] = None
    where: Optional[str] = None
    folder = place.folder
    while True:
        limit = _number(Place(folder, place.top, "", False), name)
        if limit is not None and limit < _NO_LIMIT_BYTES and (best is None or limit < best):
            best, where = limit, folder[len(place.top) :] or "/"
        if len(folder) <= len(place.top):
            return best, where
        folder = os.path.dirname(folder)


def _sum_known(parts: List[Optional[int]]) -> Optional[int]:
    """Sum the parts that are known; None if the first one, the bulk, is not."""
    return None if parts[0] is None else sum(part for part in parts if part is not None)


def _minus(whole: Optional[int], part: Optional[int]) -> Optional[int]:
    return None if whole is None else max(whole - (part or 0), 0)


def _scaled(value: Optional[int], factor: float) -> Optional[float]:
    return None if value is None else value * factor


def _quota(words: List[str]) -> Optional[float]:
    """Return ``quota period`` as a number of cores; ``max`` and -1 mean none."""
    if len(words) < 2 or not all(map(_is_number, words[:2])) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def _is_number(word: str) -> bool:
    """True for a whole number of a size that a kernel may print."""
    return len(word) <= 20 and word.isdigit()
