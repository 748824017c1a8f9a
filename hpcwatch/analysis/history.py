"""What past jobs used of what they requested: hours, waste, totals, and what to change. Pure.

Waste is what was requested and idle: core-hours and GPU-hours, at the configured rates. Without
rates an idle GPU-hour counts as 16 idle core-hours (our own figure: about what sites charge).
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from typing import NamedTuple

from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.findings.directives import rounded_up, rounded_up_s
from hpcwatch.analysis.findings.header import clock
from hpcwatch.base.units import format_bytes, format_cores, format_of_bytes
from hpcwatch.cluster.schedulers.history import PastJob, Source
from hpcwatch.cluster.schedulers.job import JobState

GPU_IN_CORES = 16.0
FAILED = frozenset(
    {JobState.FAILED, JobState.TIMEOUT, JobState.OUT_OF_MEMORY, JobState.NODE_FAILED}
)
MOST_WORST = 5
_MARGIN = 1.2  # as for one job: rightsize.py
_KILLED_MARGIN = 1.5
_SPARE_SHARE = 0.75
"""Our own: use above three quarters of the request counts as needed."""
_LEAST_SAVED_HOURS = 0.1
_WHOLE = frozenset(
    {Source.ACCOUNTS, Source.JOBSTATS, Source.RECORDING, Source.PROMETHEUS, Source.STEP}
)
"""Sources of a memory peak that covers all of the job's nodes."""


class Hours(NamedTuple):
    """One job's hours. None is unknown."""

    core: float | None
    idle_core: float | None
    gpu: float | None
    idle_gpu: float | None
    """The least it can be, if only a bound on the devices' use is known."""
    cost: float | None = None
    idle_cost: float | None = None

    @property
    def waste(self) -> float:
        """What jobs are ranked by: the cost of what was idle; without rates, its core-hours."""
        if self.idle_cost is not None:
            return self.idle_cost
        return (self.idle_core or 0.0) + GPU_IN_CORES * (self.idle_gpu or 0.0)


def hours_of(job: PastJob, rates: Rates) -> Hours:
    """Return what a job took from the cluster. A job that never started took nothing."""
    ran_s = job.ran_s
    if ran_s is None:
        return _NOT_KNOWN
    if ran_s == 0.0:
        return _NOTHING if not rates.are_known else _NOTHING_PAID
    hours = ran_s / 3600.0
    core = idle_core = gpu = idle_gpu = None
    if job.cores_count is not None:
        core = job.cores_count * hours
        if job.cpu_s is not None:
            idle_core = max(core - job.cpu_s / 3600.0, 0.0)
    if job.gpus_count is not None:
        gpu = job.gpus_count * hours
        if job.gpus_used is not None:
            idle_gpu = max(job.gpus_count - job.gpus_used, 0.0) * hours
        elif job.gpus_count == 0:
            idle_gpu = 0.0
    if not rates.are_known:
        return Hours(core, idle_core, gpu, idle_gpu)
    cost, idle_cost = rates.cost(core, gpu), rates.cost(idle_core, idle_gpu)
    return Hours(core, idle_core, gpu, idle_gpu, cost, idle_cost)


_NOT_KNOWN = Hours(None, None, None, None)
_NOTHING = Hours(0.0, 0.0, 0.0, 0.0)
_NOTHING_PAID = Hours(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Sum:
    """A sum of figures, and the number of jobs whose figure is known."""

    __slots__ = ("known_count", "value")

    def __init__(self) -> None:
        self.value, self.known_count = 0.0, 0

    def add(self, value: float | None) -> None:
        """Add a figure; None means unknown."""
        if value is not None:
            self.value += value
            self.known_count += 1


class Totals:
    """Sums over jobs. It keeps no job."""

    def __init__(self) -> None:
        self.jobs_count = 0
        self.states: Counter[str] = Counter()
        self.core, self.idle_core = Sum(), Sum()
        self.gpu, self.idle_gpu = Sum(), Sum()
        self.cost, self.idle_cost = Sum(), Sum()
        self.sources: Counter[Source] = Counter()

    def add(self, job: PastJob, hours: Hours) -> None:
        """Add a job."""
        self.jobs_count += 1
        self.states[state_word(job)] += 1
        self.core.add(hours.core)
        self.idle_core.add(hours.idle_core)
        self.gpu.add(hours.gpu)
        self.idle_gpu.add(hours.idle_gpu)
        self.cost.add(hours.cost)
        self.idle_cost.add(hours.idle_cost)
        for source in (job.cpu_from, job.memory_from, job.gpus_from):
            if source is not None:
                self.sources[source] += 1


def state_word(job: PastJob) -> str:
    """Return how a job ended, or its state; an unknown state in the scheduler's own word."""
    if job.state is JobState.UNKNOWN and job.raw_state:
        return job.raw_state.lower()[:14]
    return job.state.value


class Worst:
    """The jobs with the most waste among those added."""

    def __init__(self, most: int = MOST_WORST) -> None:
        self._most = most
        self._heap: list[tuple[float, int, PastJob, Hours]] = []
        self._seen = 0

    def add(self, job: PastJob, hours: Hours) -> None:
        """Add a job. One that wasted only minutes, or an unknown amount, is ignored."""
        self._seen -= 1
        if hours._replace(idle_cost=None).waste < _LEAST_SAVED_HOURS:
            return
        waste = hours.waste
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (waste, self._seen, job, hours))
        elif waste > self._heap[0][0]:
            heapq.heapreplace(self._heap, (waste, self._seen, job, hours))

    def jobs(self) -> list[tuple[PastJob, Hours]]:
        """Return them, the worst first."""
        return [(job, hours) for _, _, job, hours in sorted(self._heap, reverse=True)]


def change_for(job: PastJob, hours: Hours) -> str:
    """Return the one change that matters most; empty if too little is known.

    A job that was killed comes first; then idle devices or cores, whichever wasted more; then
    memory; then time.
    """
    return (
        _if_killed(job) or _if_idle(job, hours) or _if_roomy(job) or _if_early(job)
        if job.ended_at_s is not None
        else ""
    )


def _if_killed(job: PastJob) -> str:
    asked, nodes = job.memory_requested_bytes, job.nodes_count or 1
    if job.state is JobState.OUT_OF_MEMORY or job.is_step_out_of_memory:
        if not asked:
            return "it ran out of memory: request more"
        needed = rounded_up(max(_KILLED_MARGIN * asked, _MARGIN * (job.memory_bytes or 0)) / nodes)
        return f"it ran out of memory: request {_each(needed, nodes)}"
    if job.state is JobState.TIMEOUT and job.walltime_s:
        needed_s = rounded_up_s(_KILLED_MARGIN * job.walltime_s)
        return f"it ended at its walltime: request {clock(needed_s)}, or write checkpoints"
    return ""


def _each(size_bytes: int, nodes: int) -> str:
    return format_bytes(size_bytes) + (" per node" if nodes > 1 else "")


def _if_idle(job: PastJob, hours: Hours) -> str:
    of_gpus, of_cores = _for_gpus(job, hours), _for_cores(job, hours)
    is_gpu_worse = GPU_IN_CORES * (hours.idle_gpu or 0.0) >= (hours.idle_core or 0.0)
    return (of_gpus or of_cores) if is_gpu_worse else (of_cores or of_gpus)


def _for_gpus(job: PastJob, hours: Hours) -> str:
    count, used = job.gpus_count, job.gpus_used
    if not count or used is None or (hours.idle_gpu or 0.0) < _LEAST_SAVED_HOURS:
        return ""
    noun = "GPU" if count == 1 else "GPUs"
    if used < 0.005 * count:
        return f"its {count} {noun} did nothing: request none, or make the program use them"
    if used > _SPARE_SHARE * count:
        return ""
    least = max(math.ceil(used), 1)
    bound = "at most " if job.gpus_from is Source.PEAKS else ""
    busy = f"{bound}{format_cores(used)} of {count} {noun} busy"
    if least < count:
        return f"{busy}: request {least}, or give the others work"
    return f"{busy}: find out what it waits for: hpcwatch job, while it runs"


def _for_cores(job: PastJob, hours: Hours) -> str:
    if not job.cores_count or job.cpu_s is None or not job.ran_s:
        return ""
    used, count = job.cpu_s / job.ran_s, job.cores_count
    if count < 2 or job.gpus_count or (hours.idle_core or 0.0) < _LEAST_SAVED_HOURS:
        return ""  # the cores of a job with GPUs feed them
    if used > _SPARE_SHARE * count:
        return ""
    busy = f"{format_cores(used)} of {count} cores busy on average"
    least = max(math.ceil(_MARGIN * used), 1) if used > 1.05 else 1
    if least >= count:
        return ""
    return f"{busy}: request {least}, or make the program use them"


def _if_roomy(job: PastJob) -> str:
    asked, used, nodes = job.memory_requested_bytes, job.memory_bytes, job.nodes_count or 1
    is_whole = job.memory_from in _WHOLE
    if not asked or not used or not is_whole or job.state is not JobState.COMPLETED:
        return ""
    needed = rounded_up(_MARGIN * used / nodes)
    if used > 0.5 * asked or needed * nodes > _SPARE_SHARE * asked:
        return ""
    return f"{format_of_bytes(used, asked)} of memory used: request {_each(needed, nodes)}"


def _if_early(job: PastJob) -> str:
    limit, ran = job.walltime_s, job.ran_s
    if not limit or not ran or ran < 900.0 or job.state is not JobState.COMPLETED:
        return ""
    needed_s = rounded_up_s(_MARGIN * ran)
    if ran > 0.5 * limit or needed_s > _SPARE_SHARE * limit:
        return ""
    return f"{clock(int(ran))} of {clock(limit)} used: request {clock(needed_s)}"
