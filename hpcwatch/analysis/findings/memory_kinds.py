"""Findings on memory that is not simply used: swapped out, in files, page cache, virtual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import (
    MEMORY_PLOTS,
    Finding,
    Scope,
    Severity,
    is_guess,
    judged,
    rule,
)
from hpcwatch.analysis.findings.devices import gpu_signs
from hpcwatch.analysis.findings.directives import rounded_up
from hpcwatch.analysis.findings.gpu_attribution import has_whole_node, is_opened
from hpcwatch.analysis.findings.header import Directives, difference, nodes_count
from hpcwatch.analysis.findings.shared import Told, over, throughout
from hpcwatch.analysis.findings.windows import busiest
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import MIB, format_bytes, format_of_bytes, format_pct
from hpcwatch.cluster.schedulers import Job


@rule(
    "memory-swapping",
    margins={"moved_bytes_per_s": -0.5e6, "swapped_bytes": -32.0 * MIB},
    plots=MEMORY_PLOTS,
)
def memory_swapping(
    scope: Scope,
    *,
    moved_bytes_per_s: float = 2e6,
    swapped_bytes: float = 256.0 * MIB,
    window_s: float = 60.0,
) -> Iterator[Finding]:
    """The node moves over 2 MB/s to and from swap for 60 s, or 256 MiB of the job went there.

    Critical: swapped memory is a thousand times slower. Traffic counts where the job has the node
    for itself or memory of its own in swap. Kernels count it for the whole node only; both ways
    are added, 1 MB/s each.
    Source: Ohio Supercomputer Center.
    """
    for host in scope.timeline.hosts.values():
        is_guessed = is_guess(scope, host, "swap_bytes", scope.start_s)
        moved = _most_of_a_window(scope, host, "swap_moved_bytes_per_s", window_s)
        swapped = host.part("swap_bytes", scope.start_s, scope.end_s)
        values = [value for value in swapped.mean if value == value]
        size = (values[-1] if scope.is_live else max(values)) - values[0] if values else 0.0
        size = 0.0 if is_guessed else size
        is_ours = size > 0 or has_whole_node(host.job or scope.job, host)
        rate = moved if is_ours and moved is not None else 0.0
        if not (rate > moved_bytes_per_s or size >= swapped_bytes):
            continue
        what = (
            f"{format_bytes(size)} of the job are in swap"
            if size >= swapped_bytes
            else f"{format_bytes(rate)} a second go to and from swap"
        )
        told = Told(
            rule="memory-swapping",
            severity=Severity.CRITICAL,
            title=f"memory is swapped: {what}",
            evidence={"swap_moved_bytes_per_s": rate, "swapped_bytes": size},
            advice="Disks are a thousand times slower than memory: ask for more memory or a node "
            "of your own, run fewer processes a node, or keep less in memory.",
        )
        yield over(swapped, host.name, told)


def _most_of_a_window(
    scope: Scope, host: HostTimeline, metric: str, window_s: float
) -> float | None:
    """Return the mean over the last window, after the run of the highest one; None if unknown."""
    part = judged(scope, host, metric, window_s)
    if part is None:
        return None
    return part.average() if scope.is_live else busiest(part, window_s)


@rule("memory-in-files", margins={"files_share": -0.02}, plots=MEMORY_PLOTS)
def memory_in_files(
    scope: Scope,
    *,
    files_bytes: float = 1e9,
    files_share: float = 0.2,
    near_share: float = 0.9,
    window_s: float = 60.0,
) -> Iterator[Finding]:
    """Over 1 GB and 20 % of the job's memory are files in memory-backed file systems.

    Information; a warning if memory is over 90 % of its limit at the time. /dev/shm and often
    /tmp are memory: what lies there is charged to the job until it is removed.
    Source: NeSI.
    """
    for host in scope.timeline.hosts.values():
        files = judged(scope, host, "files_bytes", window_s)
        used = judged(scope, host, "used_bytes", window_s)
        if files is None or used is None:
            continue
        size = files.average()
        if not (size > files_bytes and size > files_share * used.average()):
            continue
        charged = judged(scope, host, "charged_bytes", window_s)
        limit = host.limit.limit_bytes
        is_near = bool(charged is not None and limit and charged.highest() > near_share * limit)
        told = Told(
            rule="memory-in-files",
            severity=Severity.WARNING if is_near else Severity.INFO,
            title=f"{format_of_bytes(size, used.average())} of its memory are files",
            evidence={"files_mean_bytes": size, "used_mean_bytes": used.average()},
            advice="They lie in a file system that is memory. Remove them when they are done "
            "with, or set TMPDIR to the node's local disk."
            if is_near
            else "No change needed as long as memory suffices. Else set TMPDIR to the node's "
            "local disk.",
        )
        yield over(files, host.name, told)


@rule(
    "memory-cache-only",
    silences=("memory-near-limit",),
    margins={"full_share": -0.03},
    plots=MEMORY_PLOTS,
)
def memory_cache_only(
    scope: Scope,
    *,
    full_share: float = 0.95,
    used_share: float = 0.7,
    pressure_share: float = 0.01,
    window_s: float = 60.0,
) -> Iterator[Finding]:
    """The control group is 95 % full, but under 70 % is used: the rest is page cache. Information.

    Only where the kernel tells how long tasks waited for memory, and that is under 1 % of the
    time.
    Source: Princeton's jobstats.
    """
    for host in scope.timeline.hosts.values():
        if host.limit.source != "cgroup" or not host.limit.limit_bytes:
            continue
        limit = host.limit.limit_bytes
        used = judged(scope, host, "charged_bytes", window_s)
        cache = judged(scope, host, "cache_bytes", window_s)
        pressure = _memory_pressure(host)
        if used is None or cache is None or pressure is None or pressure >= pressure_share:
            continue
        if used.highest() >= used_share * limit:
            continue
        if used.average() + cache.average() < full_share * limit:
            continue
        told = Told(
            rule="memory-cache-only",
            severity=Severity.INFO,
            title=f"its control group is full, but {format_bytes(cache.average())} are page cache",
            evidence={
                "used_mean_bytes": used.average(),
                "cache_mean_bytes": cache.average(),
                "limit_bytes": limit,
                "pressure_share": pressure,
            },
            advice="No change needed, because the kernel takes page cache back as soon as "
            "memory is needed.",
        )
        yield over(used, host.name, told)


def _memory_pressure(host: HostTimeline) -> float | None:
    """Return the share of the watched time in which some task waited for memory."""
    first, last = host.first, host.last
    if first is None or last is None or first.node is None or last.node is None:
        return None
    start, end = first.node.pressure_memory_s, last.node.pressure_memory_s
    passed_s = last.uptime_s - first.uptime_s
    return None if start is None or end is None or passed_s <= 0 else (end - start) / passed_s


class _Reserved(NamedTuple):
    """The part of one limit of virtual memory that is reserved."""

    option: str
    """``vmem``, for all of the job's processes, or ``pvmem``, for each."""
    size_bytes: int
    limit_bytes: int

    @property
    def share(self) -> float:
        """Return the reserved share of the limit."""
        return self.size_bytes / self.limit_bytes


@rule("vmem-near-limit", margins={"near_share": -0.03}, plots=MEMORY_PLOTS)
def vmem_near_limit(scope: Scope, *, near_share: float = 0.9) -> Iterator[Finding]:
    """The job requested a limit of virtual memory, and over 90 % of it is reserved.

    For vmem all of the job's processes count together, for pvmem the largest one. Critical: at the
    limit a program cannot get memory, however little it uses. CUDA, Java and Go reserve large
    ranges that they never touch.
    Source: NRAO.
    """
    job = scope.job
    if job is None:
        return
    for host in scope.timeline.hosts.values():
        if is_guess(scope, host, "used_bytes", scope.start_s):
            continue
        reserved = max(_reserved(job, host), key=lambda one: one.share, default=None)
        if reserved is None or not reserved.share > near_share:
            continue
        whose = " of a process" if reserved.option == "pvmem" else ""
        size = format_of_bytes(reserved.size_bytes, reserved.limit_bytes)
        told = Told(
            rule="vmem-near-limit",
            severity=Severity.CRITICAL,
            title=f"virtual memory{whose} at {format_pct(100 * reserved.share)} of "
            f"{reserved.option}: {size}",
            evidence={"virtual_bytes": reserved.size_bytes, "limit_bytes": reserved.limit_bytes},
            advice=("CUDA reserves large ranges that it never touches. " if _has_cuda(host) else "")
            + "Drop vmem and pvmem and ask for mem, or set vmem to 1.5 times mem or more.",
            directives=_with_room(scope, job, reserved, near_share),
        )
        yield throughout(scope, host.name, told)


def _reserved(job: Job, host: HostTimeline) -> Iterator[_Reserved]:
    """Yield the known reservation on a host for each requested limit."""
    listed = host.last.processes if host.last is not None else None
    now = [one.virtual_bytes for one in listed or [] if one.virtual_bytes is not None]
    ever = [one.virtual_bytes for one in host.processes.values() if one.virtual_bytes is not None]
    largest = max(now or ever, default=None)
    if largest is None:
        return
    if job.vmem_bytes:
        yield _Reserved("vmem", sum(now) or largest, max(job.vmem_bytes // nodes_count(job), 1))
    if job.pvmem_bytes:
        yield _Reserved("pvmem", largest, job.pvmem_bytes)


def _has_cuda(host: HostTimeline) -> bool:
    """True if a process of the job is known to use a GPU, or to have loaded its driver."""
    return bool(gpu_signs(host)) or any(is_opened(host, gpu) for gpu in host.gpus.values())


def _with_room(scope: Scope, job: Job, reserved: _Reserved, near_share: float) -> Directives:
    """Remove the limit; a vmem becomes 1.5 times mem instead, if that leaves room."""
    if reserved.option == "pvmem":
        return difference(job, job._replace(pvmem_bytes=None), scope.environment)
    nodes = nodes_count(job)
    roomy = rounded_up(_ROOM * nodes * (job.node_memory_bytes or 0))
    is_enough = reserved.size_bytes <= near_share * roomy / nodes
    return difference(job, job._replace(vmem_bytes=roomy if is_enough else None), scope.environment)


_ROOM = 1.5  # own: virtual memory that usual programs reserve beyond what they use
