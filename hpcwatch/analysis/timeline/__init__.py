"""Samples as columns per host and device, with rates derived from counters. Pure.

Unknown is NaN. Times are seconds since the epoch.
"""

from __future__ import annotations

from hpcwatch.analysis.timeline.host import HostTimeline
from hpcwatch.analysis.timeline.host_metrics import HOST_METRICS, cpu_counter_s
from hpcwatch.probe.schema import Sample
from hpcwatch.probe.typed import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

__all__ = ["HOST_METRICS", "HostTimeline", "Timeline", "cpu_counter_s"]


class Timeline:
    """All hosts of a run."""

    def __init__(
        self, interval_s: float, job: Job | None = None, most_samples: int | None = None
    ) -> None:
        """With ``most_samples`` only that many of the latest samples per host are kept (live)."""
        self.hosts: dict[str, HostTimeline] = {}
        self._job = job
        self.interval_s = interval_s
        self.is_part = False
        """True if it holds one of several hosts."""
        self._most_samples = most_samples

    @property
    def job(self) -> Job | None:
        """What was asked, if this was a scheduler's job."""
        return self._job

    @job.setter
    def job(self, job: Job | None) -> None:
        self._job = job
        for host in self.hosts.values():
            host.job = job and job.seen_from(host.name)

    def only(self, name: str) -> Timeline:
        """Return a timeline of one of the hosts, which goes on with it."""
        host = self.hosts[name]
        alone = Timeline(self.interval_s, host.job, self._most_samples)
        alone.hosts[name] = host
        alone.is_part = len(self.hosts) > 1 or (self._job is not None and len(self._job.nodes) > 1)
        return alone

    def add(self, sample: Sample) -> None:
        """Add a sample."""
        host = self.hosts.get(sample.host)
        if host is None:
            job = self._job and self._job.seen_from(sample.host)
            host = self.hosts[sample.host] = HostTimeline(sample.host, self.interval_s, job)
        host.append(sample)
        if self._most_samples is not None and len(host.at_s) >= 1.25 * self._most_samples:
            host.forget(len(host.at_s) - self._most_samples)

    def add_all(self, samples: Iterable[Sample]) -> None:
        """Add samples in order."""
        for sample in samples:
            self.add(sample)


_SAMPLES = 200_000
_FEWEST_SAMPLES, _MOST_SAMPLES = 600, 3600
"""Of a host; the longest window of a live finding is an hour, at one sample a second."""


def most_samples(hosts_count: int) -> int:
    """Return how many samples of each host a view keeps: of many hosts fewer."""
    return min(max(_SAMPLES // max(hosts_count, 1), _FEWEST_SAMPLES), _MOST_SAMPLES)
