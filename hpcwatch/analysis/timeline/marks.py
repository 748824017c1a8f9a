"""What the kernel itself keeps of memory on a host: kills, and high-water marks. Pure.

A reading can miss what happens between two readings; these cannot.
"""

from __future__ import annotations

from hpcwatch.probe.schema import Cgroup, Sample


class Mark:
    """A high-water mark in bytes, and when it was last seen to rise."""

    def __init__(self) -> None:
        self.size_bytes: int | None = None
        self.risen_at_s: float | None = None
        """Time of the first sample that shows it; None if there is none."""

    def add(self, size_bytes: int | None, at_s: float) -> None:
        """Take a reading of it. One of another group or process may be lower: it does not count."""
        if size_bytes is not None and size_bytes > (self.size_bytes or 0):
            self.size_bytes, self.risen_at_s = size_bytes, at_s


class MemoryMarks:
    """Marks and kills on a host, over everything that was read."""

    def __init__(self) -> None:
        self.process = Mark()
        """Of the largest process."""
        self.group = Mark()
        """Of the control group, page cache included: never less than what the job used."""
        self.limited: dict[str, Mark] = {}
        """Group -> its mark, page cache included, for each group whose limit has bound."""
        self.huge = Mark()
        """Pages of hugetlbfs, which no control group counts as memory."""
        self._kills: dict[str, tuple[int, int]] = {}
        """Group -> kills that are not the job's, and the most that were counted."""

    def add(self, sample: Sample) -> None:
        """Take a sample."""
        use, group = sample.job, sample.cgroup
        if use is not None:
            self.process.add(use.process_peak_bytes, sample.at_s)
            gauges = sample.window.gauges if sample.window is not None else {}
            highest = gauges.get("job.huge_bytes")
            self.huge.add(round(highest[2]) if highest else use.huge_bytes, sample.at_s)
        if group is None:
            return
        self.group.add(group.peak_bytes, sample.at_s)
        limited = self.limited.setdefault(group.limit_path or "", Mark())
        limited.add(group.limit_peak_bytes, sample.at_s)
        if group.oom_kill_count is not None:
            is_ours = use is None or use.found_by == "tree"
            self._count(group, group.oom_kill_count, is_ours)

    def _count(self, group: Cgroup, count: int, is_ours: bool) -> None:
        """Count a group's kills.

        What was counted before the program began is not its own. The group of a job that is
        watched from outside began at 0. Of any other group only what we saw happen counts, and a
        program's group stays the one that it began in.
        """
        if group.path not in self._kills:
            if is_ours and self._kills:
                return
            first = 0 if group.is_job and not is_ours else count
            self._kills[group.path] = first, first
        base, most = self._kills[group.path]
        if group.oom_kill_before_count is not None:
            base = group.oom_kill_before_count
        self._kills[group.path] = base, max(most, count)

    @property
    def most_bytes(self) -> int | None:
        """What the job used at most; None if its group's kernel keeps no mark."""
        group = self.group.size_bytes
        return None if group is None else group + (self.huge.size_bytes or 0)

    @property
    def kill_count(self) -> int:
        """Kills for want of memory, in all groups of the job."""
        return sum(max(most - base, 0) for base, most in self._kills.values())
