"""What somebody else read of a job, and of one of its hosts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from hpcwatch.probe.schema import Sample


class Others(NamedTuple):
    """What somebody else read of a job."""

    samples: Sequence[Sample]
    interval_s: float

    def without(self, hosts: Collection[str]) -> Others:
        """Return the readings of all but some hosts."""
        left_out = {short(host) for host in hosts}
        kept = [one for one in self.samples if short(one.host) not in left_out]
        return self._replace(samples=kept)


class Filled:
    """What somebody else read of one host."""

    def __init__(self, is_all: bool = False) -> None:
        self.is_all = is_all
        """True if no sample of it is our own."""
        self.count = 0
        """Readings that stand for a time of which we have none."""
        self.cpu_s: float | None = None
        """The last count of the job's CPU time there."""
        self.cpu_at_s: float | None = None
        self.is_contradicted = False
        """True if its count of CPU time was ahead of ours, or more than the node's cores can have
        used since the job's start: it is another job's, or wrong."""

    def add_count(self, sample: Sample) -> None:
        """Take a reading's count of CPU time."""
        cpu_s = group_cpu_s(sample)
        if cpu_s is not None:
            self.cpu_s, self.cpu_at_s = cpu_s, sample.at_s


def group_cpu_s(sample: Sample) -> float | None:
    """Return the count of the job's CPU time in a reading."""
    return sample.cgroup.cpu_s if sample.cgroup is not None else None


def short(host: str) -> str:
    """Return a host's name without its domain, which not all sources give. An address has none."""
    return host if host.replace(".", "").isdigit() else host.partition(".")[0].lower()
