"""What a report is made of: records and figures. Pure. Anything unknown is None."""

from hpcwatch.analysis.costs import Costs
from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.probe.typed import TYPE_CHECKING, Any, Iterable, NamedTuple, Optional
from hpcwatch.recording.store import Event, Run

if TYPE_CHECKING:
    from hpcwatch.analysis.advice_check import Check, Prediction
    from hpcwatch.analysis.findings import Finding
    from hpcwatch.analysis.needs import Observed
    from hpcwatch.analysis.report.energy import Energy, MountTraffic
    from hpcwatch.analysis.report.sourced import Sourced
    from hpcwatch.analysis.rightsize import Advice
else:
    Advice = Check = Energy = Finding = MountTraffic = Observed = Prediction = Sourced = (
        Any  # their types as text would be compiled at each start
    )


class GpuSummary(NamedTuple):
    """A device over the whole run."""

    host: str
    index: int  # type: ignore[assignment]  # tuple.index is not missed
    uuid: str
    name: str
    util_mean_pct: Optional[float]
    util_max_pct: Optional[float]
    idle_s: Optional[float]
    memory_peak_bytes: Optional[int]
    memory_total_bytes: Optional[int]
    power_mean_w: Optional[float]
    energy_j: Optional[float]
    sm_active_mean_pct: Optional[float] = None
    label: str = ""
    """``GPU 0``, an instance of a divided device ``GPU 0 MIG 1g.10gb #3``."""
    use: str = "unknown"
    """Whether it worked, was idle, was never opened, or is unknown."""
    clocks_held_by: Optional[list[str]] = None
    """Every reason for lower clocks that was seen; None if the driver does not tell."""
    coverage_pct: Optional[float] = None
    """For how much of the time it answered."""
    xids: Optional[list[str]] = None
    """Errors the driver reported of it; None if the driver does not tell."""
    ecc_uncorrected_count: Optional[int] = None
    """Memory errors since the driver was loaded that could not be corrected."""
    nvlink_active_count: Optional[int] = None
    nvlink_count: Optional[int] = None
    held_peak_bytes: Optional[int] = None
    """The most memory that the job's own processes held on it."""
    tensor_active_mean_pct: Optional[float] = None
    dram_active_mean_pct: Optional[float] = None
    activity_from: Optional[str] = None
    """Which exporter on the node told how active it was, where NVML does not."""


class Gap(NamedTuple):
    """A stretch without readings."""

    started_at: Optional[str]
    duration_s: float
    reason: str


class NodeSummary(NamedTuple):
    """One node over the whole run."""

    host: str
    cores_used_mean: Optional[float]
    memory_peak_bytes: Optional[int]
    memory_limit_bytes: Optional[int]
    memory_limit_source: Optional[str]
    read_bytes: Optional[int]
    written_bytes: Optional[int]
    processes_max: Optional[int]
    samples: int
    gaps: list[Gap]
    found_by: Optional[str] = None
    """How the job's processes were found there (see ``JobUse.found_by``)."""


class ProcessSummary(NamedTuple):
    """One of the largest processes."""

    host: str
    pid: int
    name: str
    argv: Optional[list[str]]
    cpu_s: Optional[float]
    memory_peak_bytes: Optional[int]
    gpu_memory_peak_bytes: Optional[int]


class RankSummary(NamedTuple):
    """One rank of a parallel program, as far as it was told apart."""

    host: str
    rank: int
    """Its number in the program."""
    cpu_s: float
    """Of its processes and of all they have waited for."""
    memory_peak_bytes: int
    """The sum of its processes' high-water marks: pages that ranks share count in each."""


class RankSpread(NamedTuple):
    """How far apart the ranks are in one figure, in that figure's unit."""

    least: float
    """What the rank with the least used."""
    least_rank: int
    """Which rank that is."""
    median: float
    """The median of all ranks."""
    most: float
    """What the rank with the most used."""
    most_rank: int
    """Which rank that is."""
    outlier_rank: Optional[int]
    """The rank that is farthest from the median, if by more than a quarter of it."""
    outlier_pct: Optional[float]
    """What that rank used, as a share of the median."""


class RankBalance(NamedTuple):
    """How evenly the ranks share the work."""

    ranks_count: int
    """How many were told apart."""
    cpu_s: RankSpread
    memory_peak_bytes: RankSpread


class Summary(NamedTuple):
    """The whole run in figures."""

    wall_s: float
    cpu_s: Optional[float]
    cpu_user_s: Optional[float]
    cpu_system_s: Optional[float]
    cores_allocated: Optional[int]
    cores_used_mean: Optional[float]
    cpu_efficiency_pct: Optional[float]
    memory_peak_bytes: Optional[int]
    memory_peak_exact: bool
    memory_limit_bytes: Optional[int]
    memory_limit_source: Optional[str]
    memory_files_bytes: Optional[int]
    """The most that lay in files in memory-backed file systems; part of the peak."""
    memory_files_where: Optional[str]
    read_bytes: Optional[int]
    written_bytes: Optional[int]
    processes_total: Optional[int]
    processes_max: Optional[int]
    gpus: list[GpuSummary]
    scope: str = "program"
    """Whose CPU and memory these are: ``job``, ``task`` (one of several of a job) or
    ``program``."""
    cores_used_max: Optional[float] = None
    """The most over a second; of several nodes, on any one of them."""
    program_cpu_s: Optional[float] = None
    """Of the program that we started, and all below it."""
    program_peak_bytes: Optional[int] = None
    memory_files_others_bytes: Optional[int] = None
    """Files of the same user in memory at the end that nothing of the job was seen to use."""
    memory_limit_group: Optional[str] = None
    """The control group whose limit binds; None if the limit is not a group's."""
    memory_requested_bytes: Optional[int] = None
    """The job's request per node; None if there is none, or it is unknown."""
    memory_upper_bound_bytes: Optional[int] = None
    """What the peak was at most: the job's control group's own mark, page cache included, else the
    peak that the scheduler accounts to a job of one node."""
    memory_mapped_bytes: Optional[int] = None
    """The most that lay in pages of mapped files: part of the memory used."""


class Quality(NamedTuple):
    """How it was measured, and what that cost."""

    interval_s: float
    samples: int
    coverage_pct: Optional[float]
    unknown: list[str]
    monitor_cpu_s: Optional[float]
    monitor_memory_bytes: Optional[int]
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
    is_running: Optional[bool] = None
    """Of a run without an end: whether its monitor still lives. None if that is not known."""
    advice: Optional[Advice] = None
    """What to ask for next time, or why nothing is suggested; None outside of a job."""
    observed: Optional[Observed] = None
    """What the run showed of the job's needs: later runs of its name look back at it."""
    costs: Optional[Costs] = None
    """None without configured rates."""
    prediction: Optional[Prediction] = None
    """What the advice says of the next run of this work, to be checked against it."""
    last_advice: Optional[Check] = None
    """What became of the last prediction for this work; None if there was none."""
    energy: Optional[Energy] = None
    """None where no energy is provably the run's."""
    mounts: list[MountTraffic] = []  # noqa: RUF012  # of a tuple, and never changed
    """The job's traffic by node and file system, where an exporter on the node publishes it."""
    ranks: list[RankSummary] = []  # noqa: RUF012  # of a tuple, and never changed
    """Each rank of a parallel program; none where ranks were not told apart, or there is one."""
    rank_balance: Optional[RankBalance] = None
    """How evenly the ranks share the work; None without ranks."""
    sources: list[Sourced] = []  # noqa: RUF012  # of a tuple, and never changed
    """Of a job that hpcwatch did not watch: where its figures are from, if not from its scheduler
    alone."""
    caveat: str = ""
    """What is to be said of memory that the scheduler accounts; empty if nothing is."""


def whole(host: HostTimeline, metric: str, gpu: Optional[str] = None) -> Part:
    """Return a metric over all that was read of a host."""
    if not host.at_s:
        return host.part(metric, 0.0, 0.0, gpu)
    return host.part(metric, host.at_s[0] - host.span_s[0] - 1.0, host.at_s[-1], gpu)


def if_known(value: float) -> Optional[float]:
    """Return a column's figure, None for NaN."""
    return value if value == value else None


def sum_if_known(values: Iterable[Any]) -> Any:
    """Sum; None if any is unknown."""
    known = list(values)
    return None if any(value is None for value in known) else sum(known)
