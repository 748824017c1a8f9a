"""Checks of this machine: GPUs, control groups, and the job that we run in."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from hpcwatch.base.units import format_bytes
from hpcwatch.cli.doctor_checks import Check, Level, ok
from hpcwatch.cluster.current_job import own_job
from hpcwatch.cluster.schedulers import inside
from hpcwatch.probe.cgroup import CgroupReader
from hpcwatch.probe.gpu import GpuReader
from hpcwatch.probe.gpu_presence import has_amd, has_nvidia_device

_GPU_DEADLINE_S = 8.0  # longer than the reader's own
_LOOK_S = 0.05


def gpus() -> Iterator[Check]:
    """Check what the GPU drivers report here."""
    reader, end_s = GpuReader(), time.monotonic() + _GPU_DEADLINE_S
    errors: dict[str, str] = {}
    found = reader.read(errors)
    while found is None and not errors and time.monotonic() < end_s:
        time.sleep(_LOOK_S)
        found = reader.read(errors)
    reader.close()
    is_amd = has_amd() and not has_nvidia_device()
    advice = _AMD_ADVICE if is_amd else "does nvidia-smi answer?"
    for what, reason in errors.items():
        yield Check("GPUs here", Level.PROBLEM, f"{what}: {reason}", advice)
    if found:
        names = ", ".join(f"{gpu.index} {gpu.name}" for gpu in found)
        yield ok("GPUs here", f"{len(found)}: {names}")
        yield from _driver_age(reader.driver_version)
    elif found is not None:
        yield Check("GPUs here", Level.NOTE, "no NVIDIA or AMD driver: nothing to read")
    elif not errors:
        yield Check("GPUs here", Level.PROBLEM, "the driver does not answer", advice)


_AMD_ADVICE = "install amdsmi of this ROCm's version into hpcwatch's Python: pip install amdsmi"
_OLD, _VERY_OLD = 450, 418


def _driver_age(version: Sequence[int]) -> Iterator[Check]:
    """Return a warning about what an old NVIDIA driver does not report."""
    if not version or version[0] >= _OLD:
        return
    said = ".".join(str(part) for part in version)
    lacks = "energy counters and shares of time" if version[0] < _VERY_OLD else "memory remapping"
    found = f"NVIDIA's driver {said} is old: it does not report {lacks}"
    yield Check("GPU driver here", Level.NOTE, found, "what it does not report is shown as unknown")


def cgroups() -> Iterator[Check]:
    """Check the version of control groups, and whether ours can be read."""
    version = "version 2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "version 1"
    group = CgroupReader(os.getpid()).read()
    if group is None:
        found = f"{version}, without a memory controller that can be read"
        advice = "memory is summed over processes instead (PSS)"
        yield Check("cgroups here", Level.NOTE, found, advice)
        return
    whose = "this job's" if group.is_job else "ours, not a job's"
    limit = format_bytes(group.limit_bytes) if group.limit_bytes is not None else "none"
    yield ok("cgroups here", f"{version}, {group.path} ({whose}), limit {limit}")


def job() -> Iterator[Check]:
    """Check what the environment says about the job we run in."""
    found = own_job()
    if found is None:
        yield Check("job here", Level.NOTE, "not inside a job: a login node, or a shell by ssh")
        return
    nodes = ", ".join(found.nodes) or "nodes unknown"
    words = f"{found.scheduler} {found.id}: {nodes}, {found.cores_count or '–'} cores"
    if not found.nodes:
        variable = inside(found.scheduler).node_list_variable
        advice = f"{variable} is missing or cannot be read: only this node will be watched"
        yield Check("job here", Level.WARNING, words, advice)
    else:
        yield ok("job here", words)
