"""Samples of a run as a probe would read them, made from a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hpcwatch.analysis.findings import Finding, Scope, Severity, evaluate
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import MIB
from hpcwatch.cluster.schedulers import Job
from hpcwatch.cluster.schedulers.request import clock, node_gpus_count, nodes_count, size
from hpcwatch.probe.schema import (
    Cgroup,
    Gpu,
    GpuProcess,
    JobUse,
    Mig,
    Node,
    Process,
    Sample,
    Stranger,
)

START_S = 1_700_000_000.0
PID = 21270
OWNER_UID = 1000

Course = float | Callable[[float], float | None] | None
"""A constant, a function of the seconds since the start, or unknown."""


def at(course: Course, time_s: float) -> float | None:
    """Return the value at a time."""
    return course(time_s) if callable(course) else course


def whole(value: float | None) -> int | None:
    return None if value is None else round(value)


When = Callable[..., Scope]
"""``live`` or ``ended``."""


class Device(NamedTuple):
    """A device over time, in percent, bytes and watts."""

    util: Course = 0.0
    held: Course = None
    """Memory of our process; None: we have not opened it."""
    foreign: float | None = None
    """Memory of somebody else's process."""
    used: Course = 0.0
    power: Course = None
    is_listed: bool = True
    """Whether the driver says who holds the device."""
    total: int | None = 11519 * MIB
    power_limit: float | None = 235.0
    zero: Course = None
    memory_util: Course = None
    sm_active: Course = None
    throttled: Course = None
    capped: Course = None
    foreign_uid: int | None = None
    is_foreign_graphics: bool = False
    has_mps: bool = False
    has_system_memory: bool = False
    mig: Mig | None = None
    model: str = "Tesla K40m"
    minor: int | None = None
    """The number of its file; None: that of its place."""


class Shape(NamedTuple):
    """A run as the probe sees it."""

    length_s: float = 900.0
    interval_s: float = 10.0
    cores: Course = None
    """Cores busy with the job."""
    node_cores: Course = None
    runnable: Course = None
    used: Course = None
    """Memory of the job in bytes."""
    node_used: Course = None
    node_total: int | None = None
    cgroup_limit: int | None = None
    limit_path: str | None = None
    oom_kills: Course = None
    cpu_count: int | None = None
    allowed_cores: int | None = None
    gpus: tuple[Device, ...] | None = ()
    job: Job | None = None
    is_missing: Callable[[float], bool] = lambda _time_s: False
    is_node_known: bool = True
    name: str = "python"
    host: str = "qb002"
    found_by: str = "tree"
    node_iowait: Course = None
    """Cores that wait for storage."""
    blocked: Course = None
    threads: Course = None
    process_count: int = 1
    processes: tuple[Process, ...] | None = None
    """Beside the one of ``name``."""
    files: Course = None
    swap: Course = None
    swap_rate: Course = None
    """Bytes a second in, and as many out."""
    cache: Course = None
    pressure: Course = None
    """Share of the time in which some task waits for memory."""
    io_rate: Course = None
    """Bytes a second read, and as many written."""
    virtual: Course = None
    visible_devices: list[str] | None = None
    frameworks: list[str] | None = None
    home_rate: Course = None
    """Bytes a second that the node moves to and from the home file system."""
    home: tuple[str, str] = ("/home", "nfs4")
    stranger_cores: Course = None
    """Cores of the busiest stranger; 0 if there is none."""
    stranger: Stranger = Stranger(4711, "miner", "mallory", is_owners=False)


def samples(shape: Shape) -> Iterator[Sample]:
    """Yield a sample an interval, the first at the start."""
    job_s = node_s = iowait_s = swapped = pressed_s = moved = homed = stranger_s = 0.0
    steps = round(shape.length_s / shape.interval_s)
    for step in range(steps + 1):
        time_s = step * shape.interval_s
        if step:
            job_s += (at(shape.cores, time_s) or 0.0) * shape.interval_s
            node_s += (at(shape.node_cores, time_s) or 0.0) * shape.interval_s
            iowait_s += (at(shape.node_iowait, time_s) or 0.0) * shape.interval_s
            swapped += (at(shape.swap_rate, time_s) or 0.0) * shape.interval_s
            pressed_s += (at(shape.pressure, time_s) or 0.0) * shape.interval_s
            moved += (at(shape.io_rate, time_s) or 0.0) * shape.interval_s
            homed += (at(shape.home_rate, time_s) or 0.0) * shape.interval_s
            stranger_s += (at(shape.stranger_cores, time_s) or 0.0) * shape.interval_s
        if shape.is_missing(time_s):
            continue
        node = _node(shape, time_s, node_s)._replace(
            cpu_iowait_s=None if shape.node_iowait is None else iowait_s,
            swap_in_bytes=None if shape.swap_rate is None else round(swapped),
            swap_out_bytes=None if shape.swap_rate is None else round(swapped),
            pressure_memory_s=None if shape.pressure is None else pressed_s,
            home_mount=shape.home[0],
            home_kind=shape.home[1],
            home_read_bytes=None if at(shape.home_rate, time_s) is None else round(0.7 * homed),
            home_written_bytes=None if at(shape.home_rate, time_s) is None else round(0.3 * homed),
        )
        use = _job_use(shape, time_s, job_s)._replace(
            read_bytes=None if shape.io_rate is None else round(moved),
            written_bytes=None if shape.io_rate is None else round(moved),
        )
        own = Process(
            pid=PID,
            ppid=1,
            name=shape.name,
            state="S",
            virtual_bytes=whole(at(shape.virtual, time_s)),
        )
        yield Sample(
            host=shape.host,
            at_s=START_S + time_s,
            uptime_s=5000.0 + time_s,
            node=node if shape.is_node_known else None,
            cgroup=_cgroup(shape, time_s),
            job=use,
            processes=[own, *(shape.processes or ())],
            gpus=None
            if shape.gpus is None
            else [_gpu(index, device, time_s) for index, device in enumerate(shape.gpus)],
            strangers=_strangers(shape, time_s, stranger_s),
        )


def _strangers(shape: Shape, time_s: float, used_s: float) -> list[Stranger] | None:
    cores = at(shape.stranger_cores, time_s)
    if cores is None:
        return None
    return [shape.stranger._replace(cpu_user_s=used_s, cpu_system_s=0.0)] if cores else []


def _node(shape: Shape, time_s: float, node_s: float) -> Node:
    used = at(shape.node_used, time_s)
    total = shape.node_total
    return Node(
        cpu_count=shape.cpu_count,
        cpu_user_s=None if at(shape.node_cores, time_s) is None else node_s,
        cpu_system_s=0.0,
        memory_total_bytes=total,
        memory_available_bytes=None if used is None or total is None else round(total - used),
    )


def _cgroup(shape: Shape, time_s: float) -> Cgroup | None:
    if shape.cgroup_limit is None and shape.oom_kills is None:
        return None
    return Cgroup(
        path="/job",
        is_job=True,
        used_bytes=whole(at(shape.used, time_s)),
        cache_bytes=whole(at(shape.cache, time_s)),
        limit_bytes=shape.cgroup_limit,
        limit_path=shape.limit_path,
        limit_used_bytes=whole(at(shape.used, time_s)) if shape.limit_path else None,
        oom_kill_count=whole(at(shape.oom_kills, time_s)),
    )


def _job_use(shape: Shape, time_s: float, job_s: float) -> JobUse:
    is_cpu_known = at(shape.cores, time_s) is not None
    return JobUse(
        found_by=shape.found_by,
        process_count=shape.process_count,
        thread_count=whole(at(shape.threads, time_s)),
        blocked_count=whole(at(shape.blocked, time_s)),
        files_bytes=whole(at(shape.files, time_s)),
        swap_bytes=whole(at(shape.swap, time_s)),
        runnable_count=whole(at(shape.runnable, time_s)),
        cpu_user_s=job_s if is_cpu_known else None,
        cpu_system_s=0.0 if is_cpu_known else None,
        used_bytes=whole(at(shape.used, time_s)),
        allowed_cores=shape.allowed_cores,
        owner_uid=OWNER_UID,
        visible_devices=shape.visible_devices,
        frameworks=shape.frameworks,
    )


def _gpu(index: int, device: Device, time_s: float) -> Gpu:
    held, util = at(device.held, time_s), at(device.util, time_s)
    processes = [] if held is None else [GpuProcess(PID, round(held))]
    if device.foreign is not None:
        processes.append(
            GpuProcess(
                999_999,
                round(device.foreign),
                uid=device.foreign_uid,
                is_graphics=device.is_foreign_graphics or None,
                is_mps=device.has_mps or None,
            )
        )
    used = max(at(device.used, time_s) or 0.0, sum(one.memory_bytes or 0 for one in processes))
    return Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name=device.model,
        device_file=f"/dev/nvidia{index if device.minor is None else device.minor}",
        util_pct=util,
        util_max_pct=util,
        util_zero_pct=at(device.zero, time_s),
        memory_util_pct=at(device.memory_util, time_s),
        sm_active_pct=at(device.sm_active, time_s),
        throttled_pct=at(device.throttled, time_s),
        power_capped_pct=at(device.capped, time_s),
        mig=device.mig,
        memory_used_bytes=round(used),
        memory_total_bytes=device.total,
        power_w=at(device.power, time_s),
        power_limit_w=device.power_limit,
        processes=processes if device.is_listed else None,
        has_system_memory=device.has_system_memory or None,
    )


def timeline(*shapes: Shape) -> Timeline:
    """Return the timeline of a run on as many hosts as shapes."""
    made = Timeline(shapes[0].interval_s, shapes[0].job)
    for shape in shapes:
        made.add_all(samples(shape))
    return made


def live(*shapes: Shape, **more: Any) -> Scope:
    """Return the scope at the last moment of a run that goes on."""
    return scope(timeline(*shapes), shapes[0], is_live=True, **more)


def ended(*shapes: Shape, **more: Any) -> Scope:
    """Return the scope of a run that has just ended."""
    return scope(timeline(*shapes), shapes[0], is_live=False, **more)


def scope(made: Timeline, shape: Shape, is_live: bool, **more: Any) -> Scope:
    """Return a scope from the run's start to its end."""
    values: dict[str, Any] = {
        "timeline": made,
        "is_live": is_live,
        "started_at_s": START_S,
        "start_s": START_S,
        "end_s": START_S + shape.length_s,
    }
    return Scope(**values | more)


def found(scope: Scope, **thresholds: dict[str, Any]) -> dict[str, Finding]:
    """Return what stands, by rule and entity: ``gpu-unused GPU 1``."""
    changed = {name.replace("_", "-"): values for name, values in thresholds.items()}
    return {f"{one.rule} {one.entity}": one for one in evaluate(scope, changed)}


def job(scheduler: str = "torque", **more: Any) -> Job:
    """Return a job of one node and 20 cores, with the request that its scheduler would tell."""
    values: dict[str, Any] = {
        "id": "305669.qb3",
        "scheduler": scheduler,
        "nodes": ("qb002",),
        "cores_count": 20,
        "node_cores_count": 20,
    }
    return told(Job(**values | more))


def told(plain: Job) -> Job:
    """Return a PBS job with ``Resource_List`` as it would be, were its numbers requested."""
    if plain.scheduler == "slurm" or plain.requested:
        return plain
    nodes, gpus = nodes_count(plain), node_gpus_count(plain)
    cores, memory = plain.node_cores_count, plain.node_memory_bytes
    words: list[str] = []
    if plain.scheduler == "torque":
        if cores:
            words.append(f"nodes={nodes}:ppn={cores}" + (f":gpus={gpus}" if gpus else ""))
        sizes = {
            "mem": memory and memory * nodes,
            "vmem": plain.vmem_bytes,
            "pvmem": plain.pvmem_bytes,
        }
        words += [f"{name}={size(given, 'mb', 'gb')}" for name, given in sizes.items() if given]
    elif cores:
        chunk = f"select={nodes}:ncpus={cores}" + (f":ngpus={gpus}" if gpus else "")
        words.append(chunk + (f":mem={size(memory, 'mb', 'gb')}" if memory else ""))
    if plain.walltime_s:
        words.append(f"walltime={clock(plain.walltime_s)}")
    words.append(f"nodect={nodes}")
    return plain._replace(requested=tuple(words))


def step(before: float, after: float, when_s: float) -> Callable[[float], float]:
    """Return a course that jumps after a time."""
    return lambda time_s: before if time_s <= when_s else after


def gaps(known_pct: int) -> Callable[[float], bool]:
    """Return which samples are missing so that so much of a second-by-second window is known.

    A sample stands for at most 2.5 intervals, so one long gap is made, in the middle of the last
    10 min of a run of 20 min.
    """
    missing_s = 600.0 * (100 - known_pct) / 100
    # The sample after the gap stands for 2.5 s of it.
    return lambda time_s: 900.0 < time_s <= 900.0 + missing_s + 1.5


def finding(rule: str, **more: Any) -> Finding:
    """Return a finding that says nothing."""
    values: dict[str, Any] = {
        "rule": rule,
        "severity": Severity.WARNING,
        "host": "qb002",
        "entity": "job",
        "started_at_s": 0.0,
        "duration_s": 60.0,
        "title": "",
        "evidence": {},
        "advice": "",
    }
    return Finding(**values | more)
