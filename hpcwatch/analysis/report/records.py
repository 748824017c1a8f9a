"""What a report is made of: records without a rule in them. Anything unknown is None."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.analysis.costs import Costs
from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.recording.store import Event, Run

if TYPE_CHECKING:
    from hpcwatch.analysis.needs import Observed
    from hpcwatch.analysis.rightsize import Advice


class GpuSummary(NamedTuple):
    """A device over the whole run."""

    host: str
    index: int  # type: ignore[assignment]  # tuple.index is not missed
    uuid: str
    name: str
    util_mean_pct: float | None
    util_max_pct: float | None
    idle_s: float | None
    memory_peak_bytes: int | None
    memory_total_bytes: int | None
    power_mean_w: float | None
    energy_j: float | None
    sm_active_mean_pct: float | None = None
    label: str = ""
    """``GPU 0``, an instance of a divided device ``GPU 0 MIG 1g.10gb #3``."""
    use: str = "unknown"
    """Whether it worked, was idle, was never opened, or is unknown."""
    clocks_held_by: list[str] | None = None
    """Every reason for lower clocks that was seen; None if the driver does not tell."""
    coverage_pct: float | None = None
    """For how much of the time it answered."""
    xids: list[str] | None = None
    """Errors the driver reported of it; None if the driver does not tell."""
    ecc_uncorrected_count: int | None = None
    """Memory errors since the driver was loaded that could not be corrected."""
    nvlink_active_count: int | None = None
    nvlink_count: int | None = None
    held_peak_bytes: int | None = None
    """The most memory that the job's own processes held on it."""


class Gap(NamedTuple):
    """A stretch without readings."""

    started_at: str | None
    duration_s: float
    reason: str


class NodeSummary(NamedTuple):
    """One node over the whole run."""

    host: str
    cores_used_mean: float | None
    memory_peak_bytes: int | None
    memory_limit_bytes: int | None
    memory_limit_source: str | None
    read_bytes: int | None
    written_bytes: int | None
    processes_max: int | None
    samples: int
    gaps: list[Gap]
    found_by: str | None = None
    """How the job's processes were found there (see ``JobUse.found_by``)."""


class ProcessSummary(NamedTuple):
    """One of the largest processes."""

    host: str
    pid: int
    name: str
    argv: list[str] | None
    cpu_s: float | None
    memory_peak_bytes: int | None
    gpu_memory_peak_bytes: int | None


class Summary(NamedTuple):
    """The whole run in figures."""

    wall_s: float
    cpu_s: float | None
    cpu_user_s: float | None
    cpu_system_s: float | None
    cores_allocated: int | None
    cores_used_mean: float | None
    cpu_efficiency_pct: float | None
    memory_peak_bytes: int | None
    memory_peak_exact: bool
    memory_limit_bytes: int | None
    memory_limit_source: str | None
    memory_files_bytes: int | None
    """The most that lay in files in memory-backed file systems; part of the peak."""
    memory_files_where: str | None
    read_bytes: int | None
    written_bytes: int | None
    processes_total: int | None
    processes_max: int | None
    gpus: list[GpuSummary]
    scope: str = "program"
    """Whose CPU and memory these are: ``job``, ``task`` (one of several of a job) or
    ``program``."""
    cores_used_max: float | None = None
    """The most over a second; of several nodes, on any one of them."""
    program_cpu_s: float | None = None
    """Of the program that we started, and all below it."""
    program_peak_bytes: int | None = None
    memory_files_others_bytes: int | None = None
    """Files of the same user in memory at the end that nothing of the job was seen to use."""
    memory_limit_group: str | None = None
    """The control group whose limit binds; None if the limit is not a group's."""
    memory_requested_bytes: int | None = None
    """The job's request on a node; None if there is none, or it is unknown."""
    memory_upper_bound_bytes: int | None = None
    """What the peak was at most: the job's control group's own mark, page cache included, else the
    peak that the scheduler accounts to a job of one node."""
    memory_mapped_bytes: int | None = None
    """The most that lay in pages of mapped files: part of the memory used."""


class Quality(NamedTuple):
    """How it was measured, and what that cost."""

    interval_s: float
    samples: int
    coverage_pct: float | None
    unknown: list[str]
    monitor_cpu_s: float | None
    monitor_memory_bytes: int | None
    probe_errors: dict[str, str]
    odd_lines: int
    reasons: dict[str, str] = {}  # noqa: RUF012  # of a tuple, and never changed
    """Figure -> why it is unknown."""


class Report(NamedTuple):
    """Everything a view may see of a run."""

    run: Run
    summary: Summary
    findings: list[Finding]
    nodes: list[NodeSummary]
    processes: list[ProcessSummary]
    events: list[Event]
    quality: Quality
    timeline: Timeline
    is_running: bool | None = None
    """Of a run without an end: whether its monitor still lives. None if that is not known."""
    advice: Advice | None = None
    """What to ask for next time, or why nothing is suggested; None outside of a job."""
    observed: Observed | None = None
    """What the run showed of the job's needs: later runs of its name look back at it."""
    costs: Costs | None = None
    """None without configured rates."""
