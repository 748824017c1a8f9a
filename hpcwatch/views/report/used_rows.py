"""What was used against what was allowed: the table in the report as text. Pure."""

from __future__ import annotations

from hpcwatch.analysis.costs import Costs, price
from hpcwatch.analysis.limits import Limit
from hpcwatch.analysis.report import Report, Summary
from hpcwatch.base.clean import clean
from hpcwatch.base.units import (
    UNKNOWN,
    format_bytes,
    format_clock,
    format_cores,
    format_pct,
    three_digits,
)
from hpcwatch.views.report.ending import took
from hpcwatch.views.text import LABEL, Line, Span, figures_row, sparkline

_SPARK = 20

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcwatch.analysis.timeline import HostTimeline

LIMITS = {
    "cgroup": "the control group's limit",
    "request": "the memory requested",
    "node": "the node's memory",
}
"""What memory is measured against -> in words."""

_OTHERS_LEAST_BYTES = 64 << 20  # own: less is nothing to look for
_MAPPED_LEAST_BYTES = 256 << 20  # own: libraries of large frameworks are less


def host_names(names: Sequence[str]) -> str:
    """Return hosts as schedulers write them: ``qb[001-003]``."""
    if len(names) == 1:
        return names[0]
    from hpcwatch.cluster.schedulers.hosts import fold_hosts

    return fold_hosts(names)


def how_often(report: Report) -> tuple[str, str]:
    """Return how often it was measured, and how many readings there are.

    A run's first seconds are measured more often: of a short run the interval alone is not true.
    """
    quality = report.quality
    expected = max(len(report.nodes), 1) * (report.summary.wall_s / quality.interval_s + 2)
    least = "at least " if quality.samples > expected else ""
    said = "1 reading" if quality.samples == 1 else f"{quality.samples:,} readings"
    return f"Measured {least}every {three_digits(quality.interval_s)} s", said


def limit_words(summary: Summary) -> str:
    """Say what memory is measured against; of a step's own limit say so."""
    path = clean(summary.memory_limit_group or "")
    step = Limit(None, None, None, path).step
    if step is not None:
        return f"the limit of step {step} alone"
    return LIMITS[summary.memory_limit_source or "node"]


def limit_asked(report: Report) -> int | None:
    """Return the memory requested, or allowed outside of a job; None if unknown.

    A node's own memory is not a request: it never stands for one.
    """
    summary, job = report.summary, report.run.job
    if job is None or summary.memory_limit_source in ("cgroup", "request"):
        return summary.memory_limit_bytes
    if summary.memory_requested_bytes is not None:
        return summary.memory_requested_bytes
    return job.memory_bytes if summary.memory_limit_source is None else None


def gpus_given(report: Report) -> str | None:
    """Return how many GPUs the job has where the use of none is known; None if it has none."""
    job = report.run.job
    if report.summary.gpus or job is None or not job.gpus_count:
        return None
    return f"{job.gpus_count:,} given" if job.started_at_s is not None else f"{job.gpus_count:,}"


def used_rows(report: Report, width: int) -> list[Line]:
    """Return the rows: what was requested or allowed, the mean that was used, and the peak."""
    summary = report.summary
    asked = "requested" if report.run.job is not None else "allowed"
    made: list[Line] = [[Span(f"{'':{LABEL}}{asked:11}{'used (mean)':19}peak", "dim")]]
    made.append(_cpu_row(report))
    made.append(_memory_row(report))
    if summary.memory_files_bytes:
        where = clean(summary.memory_files_where or "")
        files = f"of it up to {format_bytes(summary.memory_files_bytes)} in files in {where}"
        made.append([Span(f"{'':{LABEL}}{files}", "dim")])
    if (summary.memory_files_others_bytes or 0) >= _OTHERS_LEAST_BYTES:
        others = format_bytes(summary.memory_files_others_bytes)
        files = f"besides, {others} in files in memory of this user, not this run's"
        made.append([Span(f"{'':{LABEL}}{files}", "dim")])
    if (summary.memory_mapped_bytes or 0) >= _MAPPED_LEAST_BYTES:
        mapped = f"of it up to {format_bytes(summary.memory_mapped_bytes)} in pages of mapped files"
        made.append([Span(f"{'':{LABEL}}{mapped}", "dim")])
    given = gpus_given(report)
    if summary.gpus:
        from hpcwatch.views.report.gpu_rows import gpu_rows

        made += gpu_rows(report, width)
    elif given is not None:
        made.append(figures_row("GPUs", given, UNKNOWN, UNKNOWN))
    time_asked = report.run.job.walltime_s if report.run.job is not None else None
    if time_asked:
        share = f" ({format_pct(100 * summary.wall_s / time_asked)})"
        made.append(figures_row("Time", format_clock(time_asked), took(report) + share, ""))
    seconds = (
        f"{cpu_seconds(summary.cpu_s)} (user {cpu_seconds(summary.cpu_user_s)},"
        f" system {cpu_seconds(summary.cpu_system_s)})"
    )
    made.append([Span(f"{'CPU time':{LABEL}}"), Span(seconds)])
    volume = f"read {format_bytes(summary.read_bytes)}, wrote {format_bytes(summary.written_bytes)}"
    made.append([Span(f"{'Storage':{LABEL}}{volume}")])
    made += _published_rows(report, width)
    if report.costs is not None:
        made.append([Span(f"{'Cost':{LABEL}}{clean(cost(report.costs))}")])
    return made


def _published_rows(report: Report, width: int) -> list[Line]:
    """Return the rows of traffic by mount and of energy, which few runs have."""
    if report.energy is None and not report.mounts:
        return []
    import textwrap

    from hpcwatch.views.report.energy_rows import energy_words, mount_words

    columns = max(width - LABEL, 10)
    made: list[Line] = []
    for said in mount_words(report.mounts):
        made += [[Span(f"{'':{LABEL}}{line}", "dim")] for line in textwrap.wrap(said, columns)]
    if report.energy is not None:
        first, *rest = textwrap.wrap(energy_words(report.energy), columns)
        made.append([Span(f"{'Energy':{LABEL}}{first}")])
        made += [[Span(f"{'':{LABEL}}{line}")] for line in rest]
    return made


def cost(costs: Costs) -> str:
    """Say it: ``12.4 EUR, of which 9.1 EUR for what lay idle``."""
    if costs.run_cost is None:
        return UNKNOWN
    said = price(costs.run_cost, costs.unit)
    if not costs.idle_cost:
        return said
    return f"{said}, of which {price(costs.idle_cost, costs.unit)} for what lay idle"


def _cpu_row(report: Report) -> Line:
    summary = report.summary
    cores = summary.cores_allocated
    asked = UNKNOWN if cores is None else f"{cores} core" + ("s" if cores != 1 else "")
    used = format_cores(summary.cores_used_mean)
    if summary.cpu_efficiency_pct is not None:
        used += f" ({format_pct(summary.cpu_efficiency_pct)})"
    values = _joined(list(report.timeline.hosts.values()), "cpu_cores", sum)
    highest = max((value for value in values if value == value), default=None)
    if len(report.timeline.hosts) <= 1 or highest is None:
        highest = summary.cores_used_max
    spark = sparkline(values, max(cores or 0, 1), _SPARK)
    return figures_row("CPU", asked, used, format_cores(highest), spark)


def _memory_row(report: Report) -> Line:
    """Of several nodes, the one that uses most: limits are each node's own."""
    summary = report.summary
    limit = limit_asked(report)
    hosts = list(report.timeline.hosts.values())
    means = [host.part("used_bytes", host.at_s[0] - 1, host.at_s[-1]).average() for host in hosts]
    mean = max((one for one in means if one == one), default=float("nan"))
    values = _joined(hosts, "used_bytes", max)
    used = format_bytes(mean)
    if limit and mean == mean:
        used += f" ({format_pct(100 * mean / limit)})"
    sign = "" if summary.memory_peak_exact or summary.memory_peak_bytes is None else "≥ "
    spark = sparkline(values, max((v for v in values if v == v), default=0.0), _SPARK)
    peak = sign + format_bytes(summary.memory_peak_bytes)
    return figures_row("Memory", format_bytes(limit), used, peak, spark)


def _joined(
    hosts: list[HostTimeline], metric: str, join: Callable[[list[float]], float]
) -> list[float]:
    """Return a metric's values of all hosts in one line."""
    if len(hosts) == 1:
        return list(hosts[0].columns[metric].high)
    from hpcwatch.analysis.resample import joined

    return joined(hosts, metric, join)


def cpu_seconds(value: float | None) -> str:
    """Return CPU time in seconds however long it is: figures of it are compared."""
    return UNKNOWN if value is None else f"{three_digits(value)} s"


def scope_words(report: Report) -> list[str]:
    """Say whose figures CPU and memory are, where that is not plain; and of which processes."""
    summary, run = report.summary, report.run
    said = []
    if summary.scope == "task":
        said.append("CPU and memory are this task's alone: it is one of several of its job.")
    elif summary.scope == "job" and run.kind != "job":
        own = f"{cpu_seconds(summary.program_cpu_s)} CPU"
        own += f", {format_bytes(summary.program_peak_bytes)}"
        said.append(f"CPU and memory are the whole job's; of that the program's own: {own}.")
    guessed = [node.host for node in report.nodes if node.found_by == "user"]
    if guessed:
        named = clean(host_names(guessed))
        said.append(
            f"On {named} nothing shows which processes are the job's: all of its owner's count"
            " that are no other job's."
        )
    absent = [node.host for node in report.nodes if node.found_by == "none"]
    if absent:
        said.append(f"On {clean(host_names(absent))} there was no process of the job.")
    return said
