"""Findings on devices that do nothing. A device whose utilisation is unknown is never judged."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import GPU_PLOTS, Finding, Scope, judged, rule
from hpcwatch.analysis.findings.devices import (
    HELD_BYTES,
    HELD_SHARE,
    HELD_WINDOW_S,
    allocated_gpus,
    gpu_signs,
    has_file_open,
    held_threshold_bytes,
    used_gpus_count,
)
from hpcwatch.analysis.findings.directives import fewer_gpus
from hpcwatch.analysis.findings.gpu_attribution import MAY_BE_OTHERS, is_opened, visible_words
from hpcwatch.analysis.findings.gpu_numbers import hides_all
from hpcwatch.analysis.findings.idle import (
    Idle,
    evidence_on_device,
    holds,
    idle_of,
    is_working,
    lasting,
    on_device,
    severity_of,
    zero,
)
from hpcwatch.analysis.findings.shared import HOUR_S, Told
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import format_bytes


@rule("gpu-unused", silences=("gpu-low",), accuses=True, margins={"idle_pct": 2.0}, plots=GPU_PLOTS)
def gpu_unused(
    scope: Scope,
    *,
    idle_pct: float = 0.0,
    working_power_share: float = 0.5,
    critical_after_s: float = HOUR_S,
    window_s: float = 300.0,
) -> Iterator[Finding]:
    """Every reading of a requested device's utilisation is 0 for 5 min; critical after 60 min.

    It distinguishes two cases: no process of the job opened the device (a build without CUDA, a
    missing module), or a process opened it and put nothing there. If memory is held,
    gpu-memory-held reports it. MIG devices and others of unknown utilisation are never judged, nor
    devices that were not requested: without a job it does not fire. Idle power differs between
    models and rises as soon as a process opens the device, so utilisation decides; but a device
    that draws over half its limit is at work whatever its utilisation says, and is not accused.
    Source: Princeton's jobstats and policy, Northeastern's and Boston University's idle watchers.
    """
    for host in scope.timeline.hosts.values():
        for gpu in allocated_gpus(scope, host) if host.gpus else ():
            idle = zero(scope, host, gpu, idle_pct, window_s)
            if idle is None or is_working(scope, host, gpu, working_power_share, window_s):
                continue
            if holds(scope, host, gpu):
                continue
            why, advice = _unused_because(host, gpu)
            told = Told(
                rule="gpu-unused",
                severity=severity_of(idle, critical_after_s),
                title=f"{gpu.label} unused {lasting(scope, idle)}: {why}",
                evidence=evidence_on_device(scope, host, gpu, window_s),
                advice=f"{advice} Some centres mail after 15 min and cancel after an hour or two.",
                directives=fewer_gpus(scope, used_gpus_count(scope)),
            )
            yield on_device(host, gpu, idle, told)


@rule(
    "gpu-memory-held",
    silences=("gpu-unused", "gpu-low"),
    accuses=True,
    margins={"idle_pct": 2.0},
    plots=GPU_PLOTS,
)
def gpu_memory_held(
    scope: Scope,
    *,
    idle_pct: float = 2.0,
    held_bytes: float = HELD_BYTES,
    held_share: float = HELD_SHARE,
    working_power_share: float = 0.5,
    busy_pct: float = 10.0,
    busy_share: float = 0.05,
    critical_after_s: float = HOUR_S,
    window_s: float = HELD_WINDOW_S,
) -> Iterator[Finding]:
    """The job holds 500 MiB or 5 % of a device that is at most 2 % busy for 10 min.

    Critical after 60 min. After the run, the device must have been busier in no more than 5 % of
    the time. If the same process works on another device (over 10 %), it says what is probably the
    cause: TensorFlow, if the process has it mapped, reserves every device it sees. Held memory is
    lost to all other users, so it is reported without a scheduler's job as well. MIG devices and
    others of unknown utilisation are never judged; nor are devices that draw over half their power
    limit, which are at work whatever their utilisation says. (Idle power is no test: holding memory
    alone raises it.) Source: the case that started hpcwatch, 10.7 GiB held on an idle Tesla K40m.
    """
    for host in scope.timeline.hosts.values():
        for gpu in host.gpus.values():
            least_bytes = held_threshold_bytes(gpu, held_bytes, held_share)
            idle = _held_idle(scope, host, gpu, idle_pct, least_bytes, window_s, busy_share)
            if idle is None or is_working(scope, host, gpu, working_power_share, window_s):
                continue
            held = host.part("held_bytes", scope.start_s, scope.end_s, gpu.uuid)
            size = held.last() if scope.is_live else held.highest()
            told = Told(
                rule="gpu-memory-held",
                severity=severity_of(idle, critical_after_s),
                title=f"{gpu.label} idle {lasting(scope, idle)}, "
                f"{'holds' if scope.is_live else 'held'} {format_bytes(size)}",
                evidence=evidence_on_device(scope, host, gpu, window_s) | {"held_bytes": size},
                advice=_held_advice(scope, host, gpu, busy_pct, window_s),
                directives=fewer_gpus(scope, max(used_gpus_count(scope), 1)),
            )
            yield on_device(host, gpu, idle, told)


def _held_idle(
    scope: Scope,
    host: HostTimeline,
    gpu: GpuTimeline,
    idle_pct: float,
    least_bytes: float,
    window_s: float,
    busy_share: float,
) -> Idle | None:
    """Return for how long the device was held and did nothing; None if not for long enough."""
    util, held = gpu.columns["util_pct"].mean, gpu.columns["held_bytes"].mean
    if scope.is_live:
        if util[-1] > idle_pct or held[-1] < least_bytes:
            return None
    else:
        part = judged(scope, host, "util_pct", window_s, gpu)
        if part is None:
            return None
        busy_s = part.time_where(lambda _low, mean, _high: mean > idle_pct)
        if busy_s > busy_share * part.known_s:
            return None
    states = [
        None if one != one or size != size else one <= idle_pct and size >= least_bytes
        for one, size in zip(util, held)
    ]
    return idle_of(scope, host, states, window_s)


def _unused_because(host: HostTimeline, gpu: GpuTimeline) -> tuple[str, str]:
    """Return why a device is unused, for the title, and what to do."""
    used = gpu.last.memory_used_bytes or 0
    least_bytes = held_threshold_bytes(gpu, HELD_BYTES, HELD_SHARE)
    if any(size >= least_bytes for size in gpu.columns["held_bytes"].high):
        return "memory held, no work on it", (
            "The program reserved memory there but ran nothing: check that it places its work on "
            "the GPU, or ask for fewer GPUs."
        )
    if gpu.last.processes is None and used >= least_bytes:
        return "memory held, by whom is unknown", _held_unknown(gpu, used, least_bytes)
    if is_opened(host, gpu) or has_file_open(host, gpu):
        return "opened, nothing on it", (
            "The program opened the device but put no data there: check that it places its work "
            "on the GPU, or ask for fewer GPUs."
        )
    return _unopened_because(host, gpu, used, least_bytes)


def _unopened_because(
    host: HostTimeline, gpu: GpuTimeline, used: int, least_bytes: float
) -> tuple[str, str]:
    """Return why a device is unused that no process of the job is known to have opened."""
    hidden = _hidden_by(host)
    if hidden is not None:
        return f"hidden from the program ({hidden})", (
            f"The program was started with {hidden}, which hides every GPU from it: set it to this "
            "job's devices or not at all, or ask for no GPU."
        )
    if gpu_signs(host) == []:
        return "never opened", (
            "No process of the job loaded a GPU library: the program may be built without CUDA, or "
            "lack a module. If it needs no GPU, ask for none."
        )
    if gpu.last.processes is None:
        return "no work on it", (
            "The driver does not say who opened it. Check that the program uses the GPU, or ask "
            "for none."
        )
    if used >= least_bytes:
        return "held by others", (
            f"{format_bytes(used)} on it are held by processes that are not known as this job's. "
            "Check which device the program uses."
        )
    return "no process opened it", (
        "The program may be built without CUDA, or lack a module: check that it sees the GPU. If "
        "it needs none, ask for fewer."
    )


def _hidden_by(host: HostTimeline) -> str | None:
    """Return the variable that hides every device from the job's processes, if one does."""
    use = host.last_use
    if use is None or use.found_by in MAY_BE_OTHERS:
        return None
    values = use.visible_devices or []
    return f"CUDA_VISIBLE_DEVICES={values[0]}" if hides_all(values) else None


def _held_unknown(gpu: GpuTimeline, used: int, least_bytes: float) -> str:
    """Return what is held where the driver does not say by whom."""
    said = f"{format_bytes(used)} on it are in use, and the driver does not say who holds them. "
    if used - (gpu.memory_first_bytes or 0) >= least_bytes:
        said += "They came while this job ran: its program may reserve memory on every GPU it sees."
        return said + " Check that it works on this one, or ask for fewer GPUs."
    return said + "They were there at the start: another job may be on it."


def _held_advice(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, busy_pct: float, window_s: float
) -> str:
    """Return what holds the memory, and the remedies."""
    busy = []
    for other in sorted(host.gpus.values(), key=lambda one: one.index):
        if other is gpu or not other.holders.keys() & gpu.holders.keys():
            continue
        part = judged(scope, host, "util_pct", window_s, other)
        if part is not None and part.average() > busy_pct:
            busy.append(other)
    pids = [pid for other in busy for pid in other.holders if pid in gpu.holders]
    if not busy:
        pid = max(gpu.holders, key=lambda one: gpu.holders[one])
        return (
            f"{_process(host, pid)} reserved it and runs nothing on it. Place work there, let "
            "memory grow as needed instead of reserving all of it, or ask for fewer GPUs."
        )
    numbers = ",".join(str(other.index) for other in busy)
    works = f"{_process(host, pids[0])} works on GPU {numbers} only"
    command = f"export CUDA_VISIBLE_DEVICES={visible_words(host, busy)} and ask for fewer GPUs"
    return works + _REASONS[_reserves(host)].format(command=command)


_REASONS = {
    "TensorFlow": ". TensorFlow reserves every GPU it sees: {command}, or use all with "
    "tf.distribute.MirroredStrategy.",
    "JAX": ". JAX reserves every GPU it sees: {command}, or use all with jax.pmap; "
    "XLA_PYTHON_CLIENT_PREALLOCATE=false keeps it from reserving.",
    "": " and reserves memory on every GPU it sees: {command}, or let it work on all of them.",
    "unknown": ". Programs with TensorFlow reserve every GPU they see: {command}, or use all "
    "with tf.distribute.MirroredStrategy.",
}


def _reserves(host: HostTimeline) -> str:
    """Return the framework that reserves the memory, if the process has one mapped."""
    use = host.last_use
    if use is None or use.frameworks is None:
        return "unknown"
    return next((name for name in ("TensorFlow", "JAX") if name in use.frameworks), "")


def _process(host: HostTimeline, pid: int) -> str:
    """Return a process's name in plain letters: foreign text may hold escape sequences."""
    process = host.processes.get(pid)
    letters = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._+-") else "?"
        for letter in (process.name if process else "")[:15]
    )
    return f"{letters or 'Process'} ({pid})"
