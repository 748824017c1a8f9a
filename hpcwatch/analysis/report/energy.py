"""The energy that is provably a run's, and what it emitted at the configured factor. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.analysis.findings.gpu_attribution import attributed, has_whole_node
from hpcwatch.analysis.findings.header import node_gpus_count
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.recording.store import Run

if TYPE_CHECKING:
    from hpcwatch.analysis.costs import Grid

_J_PER_KWH = 3.6e6


class Part(NamedTuple):
    """The energy of one kind of part: devices, or processors with their memory."""

    kwh: float
    coverage_pct: float
    """The share of the run, over all of its nodes, for which it is known. The rest is not in it."""
    source: str


class Energy(NamedTuple):
    """Energy in kWh; None where it is unknown, or not provably the run's.

    Power supplies, fans, network and cooling are not in it.
    """

    kwh: float | None
    """The sum of the parts that are known."""
    gpu_kwh: float | None
    gpu_coverage_pct: float | None
    gpu_source: str | None
    cpu_kwh: float | None
    cpu_coverage_pct: float | None
    cpu_source: str | None
    co2e_g: float | None
    """At the configured factor (costs.co2e_g_per_kwh), for the parts that are known."""
    co2e_low_g: float | None
    co2e_high_g: float | None


class MountTraffic(NamedTuple):
    """What the job moved on one file system of one node while it was watched."""

    host: str
    mount: str
    read_bytes: int | None
    written_bytes: int | None
    source: str | None


def energy_of(
    run: Run, hosts: Sequence[HostTimeline], wall_s: float, grid: Grid | None
) -> Energy | None:
    """Return the run's energy; None if nothing of it is known.

    A sweep's task shares its node. Without a job nothing shows whose a device is.
    """
    if run.job is None or run.kind == "sweep-task" or wall_s <= 0:
        return None
    gpu, cpu = _of_gpus(run, hosts, wall_s), _of_cpus(run, hosts, wall_s)
    parts = [part for part in (gpu, cpu) if part is not None]
    if not parts:
        return None
    kwh = sum(part.kwh for part in parts)
    return Energy(
        kwh=kwh,
        gpu_kwh=gpu and gpu.kwh,
        gpu_coverage_pct=gpu and gpu.coverage_pct,
        gpu_source=gpu and gpu.source,
        cpu_kwh=cpu and cpu.kwh,
        cpu_coverage_pct=cpu and cpu.coverage_pct,
        cpu_source=cpu and cpu.source,
        co2e_g=_times(kwh, grid and grid.mean_g_per_kwh),
        co2e_low_g=_times(kwh, grid and grid.low_g_per_kwh),
        co2e_high_g=_times(kwh, grid and grid.high_g_per_kwh),
    )


def _times(kwh: float, g_per_kwh: float | None) -> float | None:
    return None if g_per_kwh is None else kwh * g_per_kwh


def _nodes_count(run: Run, hosts: Sequence[HostTimeline]) -> int:
    nodes = run.job.nodes if run.job is not None else ()
    return max(len(nodes), len(hosts), 1)


def _of_gpus(run: Run, hosts: Sequence[HostTimeline], wall_s: float) -> Part | None:
    """Sum the counters of the devices that are certainly the job's; None if one is unknown."""
    gpus: list[tuple[HostTimeline, GpuTimeline]] = []
    for host in hosts:
        found = attributed(run.job, host, run.environment) if host.gpus else None
        if found is not None and found.gpus and not found.is_certain:
            return None
        gpus += [(host, gpu) for gpu in (found.gpus if found is not None else ())]
    asked = node_gpus_count(run.job) if run.job is not None else None
    if not gpus or len(gpus) < (asked or 0):
        return None
    energies = [gpu.energy_j for _, gpu in gpus]
    if any(energy is None for energy in energies) or any(gpu.last.mig for _, gpu in gpus):
        return None  # an instance has no counter of its own: the device's is everybody's
    seen_s = sum(_seen_s(host) * (gpu.health.coverage or 0.0) for host, gpu in gpus)
    share = seen_s / (wall_s * len(gpus) / len(hosts) * _nodes_count(run, hosts))
    return Part(sum(filter(None, energies)) / _J_PER_KWH, _percent(share), "the GPU driver")


def _of_cpus(run: Run, hosts: Sequence[HostTimeline], wall_s: float) -> Part | None:
    """Sum the processors' counters of nodes that are wholly the job's; None if one is not."""
    known = [(host, host.exported) for host in hosts if host.exported is not None]
    energies = [(host, use) for host, use in known if use.energy_known_s > 0]
    if not energies or not all(has_whole_node(run.job, host) for host, _ in energies):
        return None
    known_s = sum(use.energy_known_s for _, use in energies)
    sources = dict.fromkeys(use.energy_from for _, use in energies if use.energy_from)
    joules = sum(use.energy_j for _, use in energies)
    share = known_s / (wall_s * _nodes_count(run, hosts))
    return Part(joules / _J_PER_KWH, _percent(share), ", ".join(sources))


def _seen_s(host: HostTimeline) -> float:
    if host.last is None:
        return 0.0
    return max(host.last.at_s - host.first_at_s, 0.0)


def _percent(share: float) -> float:
    return min(100 * share, 100.0)


def mounts_of(hosts: Sequence[HostTimeline]) -> list[MountTraffic]:
    """Return the job's own traffic by node and mount, as exporters on the nodes published it."""
    return [
        MountTraffic(host.name, *one, host.exported.mounts_from)
        for host in hosts
        if host.exported is not None
        for one in host.exported.traffic()
    ]
