"""The numbers of a scene under the names that jobstats' exporters use. Pure.

With them, jobstats' dashboards and its command also show jobs of PBS and Torque. Names, labels,
units and types (all gauges) are those of github.com/plazonic/cgroup_exporter and
github.com/plazonic/nvidia_gpu_prometheus_exporter. ``instance`` is the node, as a Prometheus names
an exporter that runs there; the Prometheus needs ``honor_labels: true`` to keep it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.report import cores_allowed
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.export.families import GAUGE, Family, Labels, Point
from hpcwatch.export.scene import Scene
from hpcwatch.probe.schema import Gpu

_CGROUP_PORT, _GPU_PORT = 9306, 9445


def _family(name: str, what: str) -> Family:
    return Family(name, GAUGE, what)


_CPU = _family("cgroup_cpu_total_seconds", "Cumulative CPU total seconds for jobid.")
_CPU_USER = _family("cgroup_cpu_user_seconds", "Cumulative CPU user seconds for jobid.")
_CPU_SYSTEM = _family("cgroup_cpu_system_seconds", "Cumulative CPU system seconds for jobid.")
_CPUS = _family("cgroup_cpus", "Number of CPUs in the jobid.")
_RSS = _family("cgroup_memory_rss_bytes", "Memory RSS used in bytes.")
_SHMEM = _family("cgroup_memory_shmem_bytes", "Memory shmem used in bytes.")
_CACHE = _family("cgroup_memory_cache_bytes", "Memory cache used in bytes.")
_USED = _family("cgroup_memory_used_bytes", "Memory used in bytes.")
_TOTAL = _family("cgroup_memory_total_bytes", "Memory total given to jobid in bytes.")
_UID = _family("cgroup_uid", "Uid number of user running this job.")
_DUTY = _family("nvidia_gpu_duty_cycle", "Percent of time in which a kernel ran on the GPU.")
_GPU_USED = _family("nvidia_gpu_memory_used_bytes", "Memory used by the GPU device in bytes.")
_GPU_TOTAL = _family("nvidia_gpu_memory_total_bytes", "Total memory of the GPU device in bytes.")
_POWER = _family("nvidia_gpu_power_usage_milliwatts", "Power usage of the GPU in milliwatts.")
_TEMPERATURE = _family("nvidia_gpu_temperature_celsius", "Temperature of the GPU in celsius.")
_JOB_ID = _family("nvidia_gpu_jobId", "JobId number of a job currently using this GPU.")
_JOB_UID = _family("nvidia_gpu_jobUid", "Uid number of user running jobs on this GPU.")

FAMILIES = (
    _CPU,
    _CPU_USER,
    _CPU_SYSTEM,
    _CPUS,
    _RSS,
    _SHMEM,
    _CACHE,
    _USED,
    _TOTAL,
    _UID,
    _DUTY,
    _GPU_USED,
    _GPU_TOTAL,
    _POWER,
    _TEMPERATURE,
    _JOB_ID,
    _JOB_UID,
)


def points_of(scene: Scene) -> Iterator[Point]:
    """Yield what jobstats' exporters would publish about a job, without what is unknown."""
    job = scene.about.job
    if job is None or scene.is_over:  # jobstats knows only jobs, and only while they run
        return
    for host in scene.timeline.hosts.values():
        if scene.is_up.get(host.name, True):
            yield from _of_host(host, job, scene.about.cluster)


def job_number(job: Job) -> str:
    """Return the id that jobstats uses: Slurm's number, or PBS's id without the server."""
    return job.raw_id or job.id.partition(".")[0]


def _of_host(host: HostTimeline, job: Job, cluster: str) -> Iterator[Point]:
    own = (("cluster", cluster),) if cluster else ()
    # A job's totals have an empty step and task. To Prometheus an empty label is no label.
    labels = (
        *own,
        ("instance", f"{host.name}:{_CGROUP_PORT}"),
        ("jobid", job_number(job)),
        ("step", ""),
        ("task", ""),
    )
    use = host.last_use
    uid = use.owner_uid if use is not None else None
    figures = [(_CPU, host.cpu_s), (_CPUS, cores_allowed(job, host)), *_of_group(host)]
    figures += _of_memory(host)
    for family, value in figures:
        if value is not None:
            yield Point(family, labels, value)
    if uid is not None:
        yield Point(_UID, labels[: len(own) + 2], uid)
    for gpu in host.gpus.values():
        if host.last is not None and gpu.last in (host.last.gpus or ()):
            yield from _of_gpu(gpu, _gpu_labels(own, host.name, gpu.last, job, uid), job, uid)


def _of_group(host: HostTimeline) -> list[tuple[Family, float | None]]:
    """Return the figures that only the job's own control group has."""
    group = host.last.cgroup if host.last is not None else None
    if group is None or not group.is_job:
        return []
    return [
        (_CPU_USER, group.cpu_user_s),
        (_CPU_SYSTEM, group.cpu_system_s),
        (_CACHE, group.cache_bytes),
    ]


def _of_memory(host: HostTimeline) -> list[tuple[Family, float | None]]:
    """Return memory, such that RSS and shared memory, which jobstats adds, are our used memory."""
    used, limit = _latest(host, "used_bytes"), _latest(host, "limit_bytes")
    group = host.last.cgroup if host.last is not None else None
    cache = group.cache_bytes if group is not None and group.is_job else None
    if used is None:
        return [(_TOTAL, limit)]
    files = _latest(host, "files_bytes")
    shared = None if files is None else min(files, used)
    return [
        (_RSS, used - (shared or 0)),
        (_SHMEM, shared),
        (_USED, used + (cache or 0)),
        (_TOTAL, limit),
    ]


def _latest(host: HostTimeline, metric: str) -> float | None:
    values = host.columns[metric].mean
    return values[-1] if values and values[-1] == values[-1] else None


def _gpu_labels(own: Labels, node: str, gpu: Gpu, job: Job, uid: int | None) -> Labels:
    mig = gpu.mig
    ordinal = gpu.index if mig is None else mig.parent_index
    minor = (gpu.device_file or "").removeprefix("/dev/nvidia")
    return (
        *own,
        ("instance", f"{node}:{_GPU_PORT}"),
        ("ordinal", str(ordinal)),
        ("minor_number", minor if minor.isdigit() else ""),
        ("uuid", gpu.uuid),
        ("name", gpu.name),
        ("GPU_I_ID", "" if mig is None else str(mig.gpu_instance_id)),
        ("jobid", job_number(job)),
        ("userid", "" if uid is None else str(uid)),
    )


def _of_gpu(gpu: GpuTimeline, labels: Labels, job: Job, uid: int | None) -> Iterator[Point]:
    last, util = gpu.last, gpu.columns["util_pct"].mean[-1]
    power_w = last.power_w
    number = job_number(job)
    figures: list[tuple[Family, float | None]] = [
        (_DUTY, util if util == util else None),
        (_GPU_USED, last.memory_used_bytes),
        (_GPU_TOTAL, last.memory_total_bytes),
        (_POWER, None if power_w is None else 1000 * power_w),
        (_TEMPERATURE, last.temperature_celsius),
        (_JOB_ID, float(number) if number.isascii() and number.isdigit() else None),
        (_JOB_UID, uid),
    ]
    for family, value in figures:
        if value is not None:
            yield Point(family, labels, value)
