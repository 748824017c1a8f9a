"""Processes that the nodes name on demand: kept for the view, and neither recorded nor judged."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from hpcwatch.analysis.timeline.seen import cores_between
from hpcwatch.probe.schema import Process, Sample

MOST_NODES = 8
"""Of more nodes, only one at a time is asked for all of its processes."""


class Further(NamedTuple):
    """What one node last named beyond its largest processes."""

    processes: tuple[Process, ...] = ()
    """With their command lines, as far as those are known."""
    cores: Mapping[int, float] = MappingProxyType({})
    """Cores used since the sample before, by pid, of all processes that both named."""


class FurtherProcesses:
    """The last answers of the nodes that are asked."""

    def __init__(self) -> None:
        self.hosts: frozenset[str] = frozenset()
        """The nodes that are asked."""
        self.by_host: Mapping[str, Further] = MappingProxyType({})
        """The last answer of each; another mapping once there is news."""
        self._before: dict[str, Sample] = {}
        self._argv: dict[str, dict[int, Process]] = {}
        """Host -> the processes whose command lines are known, as they were given."""

    def ask(self, hosts: frozenset[str]) -> None:
        """Ask these nodes from now on, and no others."""
        self.hosts = hosts
        self.by_host = {host: one for host, one in self.by_host.items() if host in hosts}
        self._before = {host: one for host, one in self._before.items() if host in hosts}
        self._argv = {host: one for host, one in self._argv.items() if host in hosts}

    def take(self, sample: Sample) -> Sample:
        """Keep what a sample names on demand; return the sample without it."""
        if sample.further is None:
            return sample
        bare = sample._replace(further=None)
        if sample.host in self.hosts:
            whole = bare._replace(processes=[*(sample.processes or ()), *sample.further])
            known = self._argv.get(sample.host, {})
            living = (one if one.argv else known.get(one.pid) for one in whole.processes or ())
            known = self._argv[sample.host] = {one.pid: one for one in living if one is not None}
            made = Further(
                tuple(_named(one, known.get(one.pid)) for one in sample.further),
                cores_between(whole, self._before.get(sample.host)),
            )
            self._before[sample.host] = whole
            self.by_host = {**self.by_host, sample.host: made}
        return bare


def _named(process: Process, before: Process | None) -> Process:
    """Return a process with its command line, which a probe gives only once."""
    if process.argv or before is None or before.name != process.name:
        return process
    return process._replace(argv=before.argv)
