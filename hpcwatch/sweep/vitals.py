"""The current use of a running task, from the end of its recording."""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.base import reading
from hpcwatch.probe.schema import Sample, from_line
from hpcwatch.recording.store import SAMPLES_FILE, RunDirectory

_TAIL_BYTES = 256 << 10


class Vitals(NamedTuple):
    """The latest reading. Unknown is None."""

    used_cores: float | None = None
    memory_bytes: int | None = None
    gpu_util_pct: float | None = None
    gpus_count: int = 0


def read(run_folder: str) -> Vitals:
    """Return the current use of a recording's task; all unknown without readings."""
    directory = RunDirectory(run_folder)
    text = reading.tail(directory.file(SAMPLES_FILE), _TAIL_BYTES)
    if not text:  # it has just ended, and is one file now: the samples are at its end
        text = reading.tail(directory.packed, _TAIL_BYTES)
    lines = text.split("\n")[-3:-1]
    samples = []
    for line in lines:
        try:
            samples.append(from_line(line))
        except ValueError:  # the first line of the tail may be incomplete
            continue
    if not samples:
        return Vitals()
    last = samples[-1]
    utils = [gpu.util_pct for gpu in last.gpus or [] if gpu.util_pct is not None]
    return Vitals(
        used_cores=_cores(samples[0], last) if len(samples) > 1 else None,
        memory_bytes=last.job.used_bytes if last.job is not None else None,
        gpu_util_pct=max(utils, default=None),
        gpus_count=len(last.gpus or []),
    )


def _cores(before: Sample, after: Sample) -> float | None:
    times = [_cpu_s(before), _cpu_s(after)]
    took_s = after.uptime_s - before.uptime_s
    if times[0] is None or times[1] is None or took_s <= 0:
        return None
    return max(times[1] - times[0], 0.0) / took_s


def _cpu_s(sample: Sample) -> float | None:
    job = sample.job
    if job is None or job.cpu_user_s is None or job.cpu_system_s is None:
        return None
    return job.cpu_user_s + job.cpu_system_s
