"""The numbers of a scene under hpcwatch's own names. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpcwatch import __version__
from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.report import cores_allowed
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.export import families
from hpcwatch.export.families import COUNTER, CPU, Exported, Labels, Point
from hpcwatch.export.scene import About, Scene, gpu_names
from hpcwatch.recording.masking import masked_text
from hpcwatch.recording.metrics import value_of

_OF_HOST, _OF_GPU = families.of_host(), families.of_gpu()
_GPU_ENTITY = "GPU "


def points_of(scene: Scene) -> Iterator[Point]:
    """Yield all known numbers of a scene. Unknown ones are left out."""
    yield Point(families.BUILD, (("version", __version__),), 1)
    yield from of_job(scene.about)
    for name, is_up in scene.is_up.items():
        if not scene.is_over:
            yield Point(families.NODE_UP, (*scene.about.labels, ("node", name)), int(is_up))
    for host in scene.timeline.hosts.values():
        if scene.is_up.get(host.name, True):
            found = of_host(host, scene.about)
            yield from (one for one in found if not scene.is_over or one.family.kind == COUNTER)
    for finding in scene.findings:
        yield of_finding(finding, scene.about)


def of_job(about: About) -> Iterator[Point]:
    """Yield the identity of the job or program, and its request."""
    job = about.job
    named = (
        ("user", about.user),
        ("name", about.name),
        ("queue", (job.queue if job is not None else None) or ""),
        ("scheduler", job.scheduler if job is not None else ""),
    )
    known = tuple((name, masked_text(value)) for name, value in named if value)
    yield Point(families.JOB, (*about.labels, *known), 1)
    if about.started_at_s is not None:
        yield Point(families.STARTED, about.labels, about.started_at_s)
    if job is not None and job.walltime_s is not None:
        yield Point(families.WALLTIME, about.labels, job.walltime_s)


def of_host(host: HostTimeline, about: About) -> Iterator[Point]:
    """Yield the latest reading of a host and of its devices."""
    labels = (*about.labels, ("node", host.name))
    for one in _OF_HOST:
        value = _host_value(host, one)
        if value is not None:
            yield Point(one.family, labels, value)
    node = host.last_node
    own = (
        (families.CPUS, cores_allowed(about.job, host)),
        (families.NODE_CPUS, node.cpu_count if node is not None else None),
        (families.NODE_MEMORY, node.memory_total_bytes if node is not None else None),
    )
    for family, known in own:
        if known is not None:
            yield Point(family, labels, known)
    names = gpu_names(host.gpus)
    for uuid, gpu in host.gpus.items():
        yield from _of_gpu(host, gpu, (*labels, ("gpu", names[uuid])))


def _host_value(host: HostTimeline, one: Exported) -> float | None:
    sample, metric = host.last, one.metric
    if metric.name == CPU:
        return host.cpu_s
    if sample is None:
        return None
    if metric.part == "cgroup" and (sample.cgroup is None or not sample.cgroup.is_job):
        return None  # the control group also counts processes of others
    if metric.is_rate:
        return _counted(getattr(sample, metric.part), metric.fields)
    return _latest(host.columns[metric.name].mean, one.factor)


def _of_gpu(host: HostTimeline, gpu: GpuTimeline, labels: Labels) -> Iterator[Point]:
    last = gpu.last
    sample = host.last
    is_listed = sample is not None and any(one.uuid == gpu.uuid for one in sample.gpus or ())
    yield Point(families.GPU, (*labels, ("uuid", gpu.uuid), ("model", gpu.name)), 1)
    if not is_listed:  # the device is lost: its last reading is not a present one
        return
    for one in _OF_GPU:
        metric = one.metric
        if metric.is_rate:
            value = _counted(last, metric.fields)
        else:
            value = _latest(gpu.columns[metric.name].mean, one.factor)
        if value is not None:
            yield Point(one.family, labels, value)
    own = (
        (families.GPU_MEMORY, last.memory_total_bytes),
        (families.GPU_POWER_LIMIT, last.power_limit_w),
        (families.GPU_ENERGY, gpu.energy_j),
    )
    for family, known in own:
        if known is not None:
            yield Point(family, labels, known)


def of_finding(finding: Finding, about: About) -> Point:
    """Return a finding as the number 1, which is exported while it stands."""
    labels = about.labels
    if finding.host:
        labels = (*labels, ("node", finding.host))
    if finding.entity.startswith(_GPU_ENTITY):
        labels = (*labels, ("gpu", finding.entity.removeprefix(_GPU_ENTITY)))
    own = (("rule", finding.rule), ("severity", finding.severity.name.lower()))
    return Point(families.FINDING, (*labels, *own), 1)


def _latest(values: Sequence[float], factor: float) -> float | None:
    """Return a column's last value in base units; None if it is unknown."""
    if not values:
        return None
    value = values[-1]
    return value * factor if value == value else None


def _counted(part: object, fields: tuple[str, ...]) -> float | None:
    """Return the sum of counters; None if one is unknown."""
    if part is None:
        return None
    total = 0.0
    for field in fields:
        value = value_of(part, field)
        if value is None:
            return None
        total += value
    return total
