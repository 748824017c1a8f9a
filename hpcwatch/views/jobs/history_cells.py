"""What stands in the tables of past jobs. Pure. Unknown is ``–``."""

from __future__ import annotations

from hpcwatch.analysis.history import Hours, Sum, Totals, state_word
from hpcwatch.base.clean import clean
from hpcwatch.base.units import (
    UNKNOWN,
    amount,
    format_bytes,
    format_clock,
    format_cores,
    format_of_bytes,
    format_seconds,
    three_digits,
)
from hpcwatch.cluster.schedulers.history import PastJob, Source

MARKS = {
    Source.STEP: ("^", "of the largest step"),
    Source.TASK: ("~", "of the largest task alone"),
    Source.NODE: ("*", "of the first node, or more"),
    Source.PEAKS: ("<", "at most: the sum of the tasks' highest values"),
    Source.JOBSTATS: ("'", "from jobstats"),
    Source.RECORDING: ("+", "from our recording"),
    Source.PROMETHEUS: ("@", "from Prometheus"),
}
"""Where a figure is from -> its mark and the note below the table."""


def _marked(text: str, source: Source | None) -> str:
    return text if source is None or source is Source.ACCOUNTS else text + MARKS[source][0]


def ending(job: PastJob) -> str:
    """Say how a job ended: ``failed (3)``, ``failed (signal 9)``, ``timeout``."""
    said = clean(state_word(job)) or UNKNOWN
    if job.ended_at_s is None or said != "failed":
        return f"{said}, step oom" if job.is_step_out_of_memory and said == "completed" else said
    if job.is_step_out_of_memory:
        return "failed (oom)"
    if job.signal:
        return f"failed (signal {job.signal})"
    return f"failed ({job.exit_code})" if job.exit_code else said


def waited(job: PastJob) -> str:
    """Say for how long it waited."""
    return format_seconds(job.waited_s)


def ran(job: PastJob) -> str:
    """Return time used of time requested."""
    if not job.walltime_s:
        return format_clock(job.ran_s)
    return f"{format_clock(job.ran_s)} of {format_clock(job.walltime_s)}"


def cores(job: PastJob) -> str:
    """Return mean cores used of those requested."""
    asked = UNKNOWN if job.cores_count is None else str(job.cores_count)
    if job.cpu_s is None or not job.ran_s:
        return asked if not job.ran_s else f"{UNKNOWN} of {asked}"
    return _marked(f"{format_cores(job.cpu_s / job.ran_s)} of {asked}", job.cpu_from)


def memory(job: PastJob) -> str:
    """Return the peak of memory used of memory requested, over all nodes."""
    if job.memory_bytes is None and not job.ran_s:
        return format_bytes(job.memory_requested_bytes)
    text = format_of_bytes(job.memory_bytes, job.memory_requested_bytes)
    return text if job.memory_bytes is None else _marked(text, job.memory_from)


def gpus(job: PastJob) -> str:
    """Return mean devices busy of those requested."""
    if job.gpus_count is None:
        return UNKNOWN
    if not job.gpus_count or not job.ran_s:
        return str(job.gpus_count)
    if job.gpus_used is None:
        return f"{UNKNOWN} of {job.gpus_count}"
    return _marked(f"{format_cores(job.gpus_used)} of {job.gpus_count}", job.gpus_from)


def hours(value: float | None) -> str:
    """Return a number of hours."""
    return UNKNOWN if value is None else three_digits(value)


def waste_words(job_hours: Hours, unit: str) -> str:
    """Say what was idle: ``310 idle core-hours, 12 idle GPU-hours, 44 EUR``."""
    said = []
    if job_hours.idle_gpu:
        said.append(amount(job_hours.idle_gpu, "idle GPU-hour"))
    if job_hours.idle_core:
        said.append(amount(job_hours.idle_core, "idle core-hour"))
    if job_hours.idle_cost:
        said.append(f"{three_digits(job_hours.idle_cost)} {unit}".rstrip())
    return ", ".join(said)


def totals_words(totals: Totals, unit: str) -> list[str]:
    """Return the sums, a line each, and of how many jobs each is known."""
    made = [_with_idle("core-hours", totals.core, totals.idle_core, totals.jobs_count)]
    if totals.gpu.value or not totals.gpu.known_count:
        made.append(_with_idle("GPU-hours", totals.gpu, totals.idle_gpu, totals.jobs_count))
    if totals.cost.known_count:
        said = _with_idle(unit or "cost", totals.cost, totals.idle_cost, totals.jobs_count)
        made.append(said)
    return made


def _with_idle(what: str, whole: Sum, idle: Sum, jobs_count: int) -> str:
    if not whole.known_count:
        return f"{what}: unknown"
    said = f"{three_digits(whole.value)} {what}{_of(whole, jobs_count)}"
    if not idle.known_count:
        return f"{said}; it is unknown how much of that was idle"
    return f"{said}, {three_digits(idle.value)} of them idle{_of(idle, jobs_count)}"


def _of(known: Sum, jobs_count: int) -> str:
    if known.known_count == jobs_count:
        return ""
    return f" (known of {known.known_count:,} of {jobs_count:,} jobs)"
