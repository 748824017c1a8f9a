"""The control group of the job, versions 1 and 2: used, cache, limit, peak, kills, throttling.

Sources: kernel documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
"""

import os
import time

from .cgroup_files import (
    NO_LIMIT_BYTES,
    groups_below,
    minus,
    number_of,
    quota_cores,
    scaled,
    table_of,
    to_table,
    used_v1,
    used_v2,
    words_of,
)
from .cgroup_limits import Limits, Quota
from .cgroup_paths import Place, find_place, hides_groups, job_id_in, parse_groups
from .procfs import parse_mounts, read, read_all
from .schema import Cgroup
from .typed import Dict, List, Mapping, Optional

__all__ = ["CgroupReader", "job_id_in"]

_SELDOM_S = 10.0
_GROUPS_MOST = 64  # below a job's, whose kills are read: 20 µs each
_KILLS_V1 = "memory.oom_control"
_KILLS_V2 = "memory.events"
_NOTHING_BEFORE: Mapping[str, bytes] = {}


class CgroupReader:
    """Reads the group that a process is in, at the job's level if a scheduler made one."""

    def __init__(
        self, pid: int, root: str = "", before: Mapping[str, bytes] = _NOTHING_BEFORE
    ) -> None:
        """Find the places. Raises OSError if the process or its groups cannot be read.

        ``before`` has the content of the groups' files, by path, from before the program began:
        what was counted until then is not the program's.
        """
        mounts = parse_mounts(read_all(root + "/proc/self/mountinfo"))
        groups = parse_groups(read("%s/proc/%d/cgroup" % (root, pid)))
        self._before = before
        self._last: Optional[Cgroup] = None
        self._read_s = 0.0
        self._events: List[str] = []
        self._kills: Dict[str, int] = {}
        self._kills_before: Optional[Dict[str, int]] = None
        self._unified = find_place(mounts, groups, "", root)
        self._memory = find_place(mounts, groups, "memory", root)
        self._cpuacct = find_place(mounts, groups, "cpuacct", root)
        self._cpu = find_place(mounts, groups, "cpu", root)
        self.reason = ""
        """Why nothing is known of the group; None if something is."""
        if self._memory is None and self._unified is None and hides_groups(mounts):
            self.reason = "what is mounted at /sys/fs/cgroup does not show our own control group"
        self._limits: Optional[Limits] = None
        self._quota: Optional[Quota] = None
        if self._cpu is not None:
            self._quota = Quota(self._cpu, _quota_v1)
        elif self._unified is not None:
            self._quota = Quota(self._unified, _quota_v2)
        if self._memory is not None:
            files = "memory.limit_in_bytes", "memory.max_usage_in_bytes"
            self._limits = Limits(self._memory, *files, used=used_v1)
        elif self._unified is not None:
            self._limits = Limits(self._unified, "memory.max", "memory.peak", used=used_v2)

    @property
    def is_job(self) -> bool:
        """True if the memory is that of a group which a scheduler made for a job."""
        place = self._memory or self._unified
        return place is not None and place.is_job and place.folder != place.top

    def exists(self) -> bool:
        """False once the group has been removed."""
        place = self._memory or self._unified
        return place is not None and os.path.isdir(place.folder)

    def read(self) -> Optional[Cgroup]:
        """Return the group's figures, or None if no controller that counts is mounted.

        A group that is not the job's and limits nothing is not read at every tick, unless a
        process in it was killed.
        """
        if self._is_idle() and time.monotonic() - self._read_s < _SELDOM_S:
            events = self._count_events()
            if events == self._events:
                return self._last
        self._last, self._read_s = self._read(), time.monotonic()
        self._events = self._count_events() if self._is_idle() else []
        return self._last

    def finish(self) -> None:
        """Make the next reading, which is the last one, read everything."""
        self._last = None

    def _is_idle(self) -> bool:
        """True if the last reading is not of the job's own group, and that group has no limit."""
        last = self._last
        return (
            last is not None
            and not last.is_job
            and last.limit_bytes is None
            and last.cpu_quota_cores is None
        )

    def _count_events(self) -> List[str]:
        """Return the words of the small file in which kills are counted."""
        place, name = self._memory, _KILLS_V1
        if place is None:
            place, name = self._unified, _KILLS_V2
        return [] if place is None else words_of(place.folder, name)

    def _read(self) -> Optional[Cgroup]:
        if self._memory is not None:
            return self._read_v1(self._memory)
        unified = self._unified
        if unified is not None and os.path.exists(os.path.join(unified.folder, "memory.stat")):
            return self._read_v2(unified)
        return None

    def _read_v2(self, place: Place) -> Cgroup:
        stat = table_of(place.folder, "memory.stat")
        assert self._limits is not None
        limit = self._limits.read(stat)
        cpu = table_of(place.folder, "cpu.stat")
        assert self._quota is not None
        limited, quota = self._quota.find()
        waits = cpu if limited == place.folder else table_of(limited, "cpu.stat")
        cpu_before = self._table_before(place.folder, "cpu.stat")
        waits_before = self._table_before(limited, "cpu.stat")
        return Cgroup(
            path=place.path,
            is_job=place.is_job,
            used_bytes=used_v2(stat),
            cache_bytes=minus(stat.get("file"), stat.get("shmem")),
            limit_bytes=limit.limit_bytes,
            limit_path=limit.path,
            limit_used_bytes=limit.used_bytes,
            limit_peak_bytes=limit.peak_bytes,
            peak_bytes=number_of(place.folder, "memory.peak"),
            oom_kill_count=table_of(place.folder, _KILLS_V2).get("oom_kill"),
            oom_kill_before_count=self._table_before(place.folder, _KILLS_V2).get("oom_kill"),
            cpu_s=scaled(cpu.get("usage_usec"), 1e-6),
            cpu_user_s=scaled(cpu.get("user_usec"), 1e-6),
            cpu_system_s=scaled(cpu.get("system_usec"), 1e-6),
            cpu_before_s=scaled(cpu_before.get("usage_usec"), 1e-6),
            cpu_user_before_s=scaled(cpu_before.get("user_usec"), 1e-6),
            cpu_system_before_s=scaled(cpu_before.get("system_usec"), 1e-6),
            cpu_throttled_s=scaled(waits.get("throttled_usec"), 1e-6),
            cpu_period_count=waits.get("nr_periods"),
            cpu_throttled_count=waits.get("nr_throttled"),
            cpu_throttled_before_s=scaled(waits_before.get("throttled_usec"), 1e-6),
            cpu_period_before_count=waits_before.get("nr_periods"),
            cpu_throttled_before_count=waits_before.get("nr_throttled"),
            cpu_quota_cores=quota,
        )

    def _read_v1(self, place: Place) -> Cgroup:
        stat = table_of(place.folder, "memory.stat")
        shared = stat.get("total_shmem", 0)
        assert self._limits is not None
        limit = self._limits.read(stat)
        of_all = stat.get("hierarchical_memory_limit", NO_LIMIT_BYTES)
        if of_all < self._limits.smallest_above():
            # A container hides whose group it is, and so what counts against it.
            limit = limit._replace(
                limit_bytes=of_all, path="above " + place.path, used_bytes=None, peak_bytes=None
            )
        group = Cgroup(
            path=place.path,
            is_job=place.is_job,
            used_bytes=used_v1(stat),
            cache_bytes=minus(stat.get("total_cache"), shared),
            limit_bytes=limit.limit_bytes,
            limit_path=limit.path,
            limit_used_bytes=limit.used_bytes,
            limit_peak_bytes=limit.peak_bytes,
            # The root group's own high-water mark counts next to nothing.
            peak_bytes=number_of(place.folder, "memory.max_usage_in_bytes")
            if place.path != "/"
            else None,
            oom_kill_count=self._killed_v1(place),
            oom_kill_before_count=self._killed_before_v1(place),
        )
        return self._with_cpu_v1(group)

    def _with_cpu_v1(self, group: Cgroup) -> Cgroup:
        """Add what the CPU's own hierarchies tell."""
        if self._quota is not None and self._cpu is not None:
            folder, quota = self._quota.find()
            cpu, before = table_of(folder, "cpu.stat"), self._table_before(folder, "cpu.stat")
            group = group._replace(
                cpu_throttled_s=scaled(cpu.get("throttled_time"), 1e-9),
                cpu_period_count=cpu.get("nr_periods"),
                cpu_throttled_count=cpu.get("nr_throttled"),
                cpu_throttled_before_s=scaled(before.get("throttled_time"), 1e-9),
                cpu_period_before_count=before.get("nr_periods"),
                cpu_throttled_before_count=before.get("nr_throttled"),
                cpu_quota_cores=quota,
            )
        # A job's CPU counts as its own only where that hierarchy, too, has a group for the job.
        place = self._cpuacct
        if place is None or place.is_job != group.is_job:
            return group
        words = self._words_before(place.folder, "cpuacct.usage")
        used_before = int(words[0]) if words and words[0].isdigit() else None
        return group._replace(
            cpu_s=scaled(number_of(place.folder, "cpuacct.usage"), 1e-9),
            cpu_before_s=scaled(used_before, 1e-9),
        )

    def _killed_v1(self, place: Place) -> Optional[int]:
        """Return the out-of-memory kills in the group, and in those below it if it is a job's.

        Version 1 counts a kill only in the victim's own group, of a step or a task. That group goes
        with its processes, so its count is remembered.
        """
        folders = [place.folder]
        if place.is_job:
            folders = groups_below(place.folder, _GROUPS_MOST)
        for folder in folders:
            count = table_of(folder, _KILLS_V1).get("oom_kill")
            if count is not None:
                self._kills[folder] = count
        if self._kills_before is None:
            self._kills_before = dict(self._kills)  # of groups other than the program's own
        return sum(self._kills.values()) if self._kills else None

    def _killed_before_v1(self, place: Place) -> Optional[int]:
        """Return the kills before the program's start; None if they were not read.

        For a group that existed at the first reading that is its count then; a later group began
        at 0.
        """
        if not self._words_before(place.own, _KILLS_V1):
            return None
        assert self._kills_before is not None
        return sum(
            self._table_before(folder, _KILLS_V1).get("oom_kill", count)
            for folder, count in self._kills_before.items()
        )

    def _words_before(self, folder: str, name: str) -> List[str]:
        raw = self._before.get(os.path.join(folder, name), b"")
        return raw.decode("ascii", "replace").split()

    def _table_before(self, folder: str, name: str) -> Dict[str, int]:
        return to_table(self._words_before(folder, name))


def _quota_v2(folder: str) -> Optional[float]:
    return quota_cores(words_of(folder, "cpu.max"))


def _quota_v1(folder: str) -> Optional[float]:
    return quota_cores(words_of(folder, "cpu.cfs_quota_us") + words_of(folder, "cpu.cfs_period_us"))
