"""The whole run in figures. Pure."""

from __future__ import annotations

from hpcwatch.analysis.limits import Limit
from hpcwatch.analysis.report.cpu import (
    Cpu,
    cores_allowed,
    cores_peak,
    cores_used,
    job_cpu,
    program_cpu,
)
from hpcwatch.analysis.report.records import GpuSummary, Summary, if_known, sum_if_known, whole
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.recording.store import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpcwatch.analysis.timeline.gpus import GpuTimeline
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.probe.schema import JobUse


def summary_of(run: Run, hosts: list[HostTimeline], wall_s: float) -> Summary:
    """Sum up all hosts."""
    parts = [job_cpu(run, host) for host in hosts] or [
        Cpu(run.cpu_user_s, run.cpu_system_s, sum_if_known((run.cpu_user_s, run.cpu_system_s)))
    ]
    cpu_s = _cpu_s(run, sum_if_known([part.all_s for part in parts]))
    allocated = _allocated(run, hosts)
    used = cores_used(run, hosts, cpu_s, wall_s)
    peak, is_exact = _memory_peak(run, hosts)
    limit = _limit(run, hosts)
    jobs = [host.last.job for host in hosts if host.last is not None and host.last.job is not None]
    files_bytes, files_where = _files(hosts)
    return Summary(
        wall_s=wall_s,
        cpu_s=cpu_s,
        cpu_user_s=sum_if_known([part.user_s for part in parts]),
        cpu_system_s=sum_if_known([part.system_s for part in parts]),
        cores_allocated=allocated,
        cores_used_mean=used,
        cpu_efficiency_pct=100 * used / allocated if used is not None and allocated else None,
        memory_peak_bytes=peak,
        memory_peak_exact=is_exact,
        memory_limit_bytes=limit.limit_bytes,
        memory_limit_source=limit.source,
        memory_files_bytes=files_bytes,
        memory_files_where=files_where,
        read_bytes=_moved(run, hosts, lambda use: use.read_bytes),
        written_bytes=_moved(run, hosts, lambda use: use.written_bytes),
        processes_total=sum(use.seen_count for use in jobs) if jobs else None,
        processes_max=_processes_most(run, hosts) if jobs else None,
        gpus=_gpus(run, hosts),
        scope=_scope(run, hosts),
        cores_used_max=cores_peak(hosts, used),
        program_cpu_s=_program_cpu_s(run, hosts),
        program_peak_bytes=_program_peak(run, hosts),
        memory_limit_group=limit.path,
        memory_requested_bytes=(run.job.node_memory_bytes or None) if run.job else None,
        memory_upper_bound_bytes=_memory_most(hosts) or _accounted_most(run, peak),
        memory_files_others_bytes=_largest(use.other_files_bytes for use in jobs),
        memory_mapped_bytes=_largest(host.mapped_peak_bytes for host in hosts),
    )


def _allocated(run: Run, hosts: list[HostTimeline]) -> int | None:
    """Return the cores that the job holds; of a program those that it may use."""
    job = run.job
    if job is not None and job.cores_count is not None and run.kind == "job":
        return job.cores_count
    return sum_if_known([cores_allowed(job, host) for host in hosts]) if hosts else None


def _largest(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)


def _cpu_s(run: Run, sampled_s: float | None) -> float | None:
    """CPU seconds in all: what was sampled, or what the scheduler accounts for if it saw more."""
    usage = run.job.usage if run.kind == "job" and run.job is not None else None
    if usage is None or usage.cpu_s is None or not usage.is_cpu_whole:
        return sampled_s
    return max(usage.cpu_s, sampled_s or 0.0)


def _files(hosts: list[HostTimeline]) -> tuple[int | None, str | None]:
    """Return the most that lay in files in memory on any one node, and where.

    Of one node, as all of memory is: limits are each node's own. None if a node's is unknown.
    """
    sizes = [(host.files_peak_bytes, host.files_where) for host in hosts]
    known = [(size, where) for size, where in sizes if size is not None]
    if not known or len(known) < len(sizes):
        return None, next((where for _, where in sizes if where), None)
    return max(known, key=lambda one: one[0])


def _moved(
    run: Run, hosts: list[HostTimeline], bytes_of: Callable[[JobUse], int | None]
) -> int | None:
    """Return the bytes that all nodes moved; None if one node's are unknown, or none was read."""
    nodes = run.job.nodes if run.kind == "job" and run.job is not None else ()
    if not hosts or len(hosts) < len(nodes):
        return None
    uses = [host.last_use for host in hosts]
    total: int | None = sum_if_known(None if use is None else bytes_of(use) for use in uses)
    return total


def _scope(run: Run, hosts: list[HostTimeline]) -> str:
    """Say whose figures these are: the job's, one task's of it, or a program's without a job."""
    if run.kind == "job":
        return "job"
    use = hosts[0].last_use if hosts else None
    if use is None or use.is_whole_job is None:
        return "program"
    return "job" if use.is_whole_job else "task"


def _program_cpu_s(run: Run, hosts: list[HostTimeline]) -> float | None:
    """Return the program's own CPU time, with all that was below it."""
    own = [host for host in hosts if host.name in run.hosts[:1]]
    if run.kind == "job" or not own:
        return None
    return program_cpu(run, own[0]).all_s


def _program_peak(run: Run, hosts: list[HostTimeline]) -> int | None:
    own = [host for host in hosts if host.name in run.hosts[:1]]
    if run.kind == "job" or not own:
        return None
    mark = _bounded(run.memory_peak_bytes, own)
    return max(own[0].program_peak_bytes or 0, mark or 0) or None


def _memory_peak(run: Run, hosts: list[HostTimeline]) -> tuple[int | None, bool]:
    """The largest of what was sampled and of any process's own high-water mark.

    A mark counts pages of mapped files, too, which its control group may not: it is never taken
    for more than the group's own mark. Exact only where one process was all there was, the kernel
    gave its mark when it was waited for, and pages of files are next to nothing of it. All else is
    a lower bound, for several processes may have peaked together between two readings. 0 is
    unknown: nothing was read while anything ran.
    """
    marks = [_bounded(run.memory_peak_bytes, hosts[:1])]
    marks += [_bounded(host.marks.process.size_bytes, [host]) for host in hosts]
    sampled = [host.used_peak_bytes for host in hosts]
    peak = max((one for one in [*sampled, *marks] if one), default=None)
    alone = all(host.process_count_max <= 1 for host in hosts)
    seen = sum(host.last.job.seen_count for host in hosts if host.last and host.last.job)
    mapped = max((host.mapped_peak_bytes or 0 for host in hosts), default=0)
    is_in_files = mapped >= max(_FILES_LEAST_BYTES, _FILES_SHARE * (peak or 0))
    is_the_kernels = peak is not None and peak == run.memory_peak_bytes
    return peak, is_the_kernels and alone and seen <= 1 and not is_in_files


_FILES_LEAST_BYTES = 32 << 20  # own: a program's libraries are less
_FILES_SHARE = 0.1


def _bounded(mark: int | None, hosts: list[HostTimeline]) -> int | None:
    """Return a process's mark, at most that of its host's control group."""
    most = hosts[0].marks.most_bytes if hosts else None
    return mark if mark is None or most is None else min(mark, most)


def _memory_most(hosts: list[HostTimeline]) -> int | None:
    """Return what no node's memory peak can have been above: the job's group's own mark.

    None if one of them has no group for the job, or its kernel keeps no mark.
    """
    most = [
        host.marks.most_bytes
        if host.last is not None and host.last.cgroup is not None and host.last.cgroup.is_job
        else None
        for host in hosts
    ]
    known = [one for one in most if one is not None]
    return max(known) if known and len(known) == len(hosts) else None


def _accounted_most(run: Run, peak: int | None) -> int | None:
    """Return the peak that the scheduler accounts to a watched job of one node.

    None if it accounts none, or less than was read: then it looked more seldom than we did.
    """
    job = run.job if run.kind == "job" else None
    usage = job.usage if job is not None else None
    if job is None or usage is None or usage.memory_bytes is None or peak is None:
        return None
    from hpcwatch.cluster.schedulers.job import Coverage

    is_of_all = len(job.nodes) <= 1 and usage.covers is not Coverage.RUNNING_STEPS
    return usage.memory_bytes if is_of_all and usage.memory_bytes >= peak else None


def _limit(run: Run, hosts: list[HostTimeline]) -> Limit:
    """Return the smallest limit of all hosts; for a job that was not watched, its request."""
    limits = [host.limit for host in hosts if host.limit.limit_bytes is not None]
    asked = _requested_bytes(run.job) if run.job is not None and not hosts else None
    if asked:
        return Limit(asked, "request", None)
    return min(limits, key=lambda one: one.limit_bytes or 0, default=Limit(None, None, None))


def _requested_bytes(job: Job) -> int | None:
    """Return what a job requested on all of its nodes: its accounted peak is over all of them."""
    count = job.nodes_count or len(job.nodes)
    if count <= 1:
        return job.node_memory_bytes
    each = job.node_memory_bytes
    return job.memory_bytes or (each * count if each else None)


def _gpus(run: Run, hosts: list[HostTimeline]) -> list[GpuSummary]:
    """Sum up the job's devices; without a job, all."""
    if not any(host.gpus for host in hosts):
        return []  # most nodes: the modules need not be loaded
    from hpcwatch.analysis.findings.gpu_attribution import shown_gpus

    return [
        _gpu(host, gpu) for host in hosts for gpu in shown_gpus(host.job, host, run.environment)
    ]


def _gpu(host: HostTimeline, gpu: GpuTimeline) -> GpuSummary:
    from hpcwatch.analysis.findings.devices import use_of

    util = whole(host, "util_pct", gpu.uuid)
    zero = whole(host, "util_zero_pct", gpu.uuid)
    power = whole(host, "power_w", gpu.uuid)
    health = gpu.health
    return GpuSummary(
        host=host.name,
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        util_mean_pct=if_known(util.average()),
        util_max_pct=if_known(util.highest()),
        idle_s=if_known(zero.average() / 100 * zero.known_s),
        memory_peak_bytes=gpu.memory_peak_bytes,
        memory_total_bytes=gpu.memory_total_bytes,
        power_mean_w=if_known(power.average()),
        energy_j=gpu.energy_j,
        sm_active_mean_pct=if_known(whole(host, "sm_active_pct", gpu.uuid).average()),
        label=gpu.label,
        use=use_of(host, gpu).value,
        clocks_held_by=_clocks_held_by(gpu),
        coverage_pct=health.coverage and 100 * health.coverage,
        xids=list(health.xids) if health.xids or gpu.last.xids is not None else None,
        ecc_uncorrected_count=health.ecc and health.ecc.last,
        nvlink_active_count=health.links and health.links.last,
        nvlink_count=health.links_count,
        held_peak_bytes=gpu.held_peak_bytes,
        tensor_active_mean_pct=if_known(whole(host, "tensor_active_pct", gpu.uuid).average()),
        dram_active_mean_pct=if_known(whole(host, "dram_active_pct", gpu.uuid).average()),
        activity_from=gpu.activity_from,
    )


def _clocks_held_by(gpu: GpuTimeline) -> list[str] | None:
    """Return every reason that was read; None if there never was one. A lost device knows none."""
    if not gpu.clocks_held_by and gpu.last.clocks_held_by is None:
        return None
    return list(gpu.clocks_held_by)


def _processes_most(run: Run, hosts: list[HostTimeline]) -> int | None:
    """Return the most processes at one reading; None if a program ended before any reading."""
    most = sum(host.process_count_max for host in hosts)
    return None if most == 0 and run.kind == "run" else most
