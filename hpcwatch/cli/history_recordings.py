"""What our own recordings know of past jobs that their accounts do not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from hpcwatch.cluster.schedulers.history import PastJob, Source, Wanted, is_wanted, past_of
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.recording.lookup import list_runs
from hpcwatch.recording.store import Run, RunDirectory

_LEAST_SHARE = 0.9
"""Own: of the job's time, below which a recording does not stand for the job."""
_APART_S = 120.0
"""A job's number is used again some day: a recording was made while the job ran."""
_MOST = 1e18


class Seen(NamedTuple):
    """What a recording saw of a whole job. None is unknown."""

    wall_s: float
    cpu_s: float | None
    memory_bytes: int | None
    gpus_used: float | None
    """Mean of busy devices."""
    gpus_count: int | None
    gpu_memory_bytes: int | None


class Recorded:
    """The recordings of jobs since a time."""

    def __init__(self, scheduler: str, wanted: Wanted) -> None:
        self._wanted = wanted
        self._runs: dict[str, list[tuple[RunDirectory, Run]]] = {}
        for directory, run in list_runs():
            if run.job is None or run.job.scheduler != scheduler:
                continue
            if (run.ended_at_s or time.time()) >= wanted.since_s:
                self._runs.setdefault(run.job.id, []).append((directory, run))
        self._accounted: set[str] = set()

    def fill(self, job: PastJob) -> PastJob:
        """Return a job with what its accounts lack; each figure says its source."""
        runs = self._runs.get(job.id)
        if not runs:
            return job
        for directory, run in reversed(runs):
            if not _is_of(run, job):
                continue
            self._accounted.add(job.id)
            seen = _seen(directory, run)
            if seen is not None and seen.wall_s >= _LEAST_SHARE * (job.ran_s or 0.0):
                return _filled(job, seen)
        return job

    def others(self) -> Iterator[PastJob]:
        """Yield the recorded jobs that no account told of, as far as they are known."""
        now_s = time.time()
        for job_id, runs in self._runs.items():
            whole = [one for one in runs if one[1].kind == "job"] or runs
            directory, run = whole[-1]
            if job_id in self._accounted or run.job is None:
                continue
            past = _recorded_only(run, run.job, now_s)
            if is_wanted(past, self._wanted):
                seen = _seen(directory, run)
                yield past if seen is None else _filled(past, seen)


def _recorded_only(run: Run, job: Job, now_s: float) -> PastJob:
    """Return a job of which a recording is all that is known.

    Where nobody tells how the job ended, its program's end stands for it.
    """
    past = past_of(job, now_s)
    if job.state.is_over and job.ended_at_s is not None:
        return past._replace(owner=past.owner or run.user or None)
    state = job.state if job.state.is_over else JobState.UNKNOWN
    if run.kind == "run" and state is JobState.UNKNOWN and run.ended_at_s is not None:
        state = JobState.COMPLETED if run.how == "ok" else JobState.FAILED
    return past._replace(
        state=state,
        raw_state="recorded",
        exit_code=run.exit_code if run.kind == "run" else past.exit_code,
        signal=run.signal if run.kind == "run" else past.signal,
        ran_s=run.wall_s,
        ended_at_s=run.ended_at_s,
        started_at_s=past.started_at_s or run.started_at_s,
        owner=past.owner or run.user or None,
    )


def _is_of(run: Run, job: PastJob) -> bool:
    started_s, ended_s = job.started_at_s, job.ended_at_s
    if started_s is not None and run.started_at_s < started_s - _APART_S:
        return False
    return ended_s is None or run.started_at_s <= ended_s + _APART_S


def _filled(job: PastJob, seen: Seen) -> PastJob:
    source = Source.RECORDING
    if seen.memory_bytes is not None and job.memory_from is not Source.JOBSTATS:
        job = job._replace(memory_bytes=seen.memory_bytes, memory_from=source)
    if job.cpu_s is None and seen.cpu_s is not None:
        job = job._replace(cpu_s=seen.cpu_s, cpu_from=source)
    is_all = job.gpus_count is None or (seen.gpus_count or 0) >= job.gpus_count
    if seen.gpus_used is not None and is_all and job.gpus_from is not Source.JOBSTATS:
        count = job.gpus_count if job.gpus_count is not None else seen.gpus_count
        job = job._replace(gpus_used=seen.gpus_used, gpus_from=source, gpus_count=count)
    if job.gpu_memory_bytes is None and seen.gpu_memory_bytes is not None and is_all:
        job = job._replace(gpu_memory_bytes=seen.gpu_memory_bytes, gpu_memory_from=source)
    return job


def _seen(directory: RunDirectory, run: Run) -> Seen | None:
    """Return what a recording says of its whole job; None if it watched a part, or says nothing."""
    summary = directory.report_part("summary")
    if not isinstance(summary, dict) or run.wall_s is None:
        return None
    is_whole = run.kind == "job" or summary.get("scope") == "job"
    gpus = summary.get("gpus")
    devices = [one for one in gpus if isinstance(one, dict)] if isinstance(gpus, list) else []
    busy = _sum([_number(one.get("util_mean_pct")) for one in devices])
    held = _sum([_number(one.get("memory_peak_bytes")) for one in devices])
    memory = _number(summary.get("memory_peak_bytes")) if is_whole else None
    return Seen(
        wall_s=run.wall_s,
        cpu_s=_number(summary.get("cpu_s")) if is_whole else None,
        memory_bytes=int(memory) if memory else None,
        gpus_used=None if busy is None else busy / 100,
        gpus_count=len(devices) or None,
        gpu_memory_bytes=None if held is None else int(held),
    )


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _MOST else None
