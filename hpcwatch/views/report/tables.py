"""A report's figures as small tables of words, for the views that can show a table. Pure.

Names of hosts, programs and the like are as foreign as they came: the views make them harmless.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hpcwatch.analysis.phases import phases as found_phases
from hpcwatch.analysis.phases import results as found_results
from hpcwatch.analysis.phases import value_text
from hpcwatch.analysis.report import GpuSummary, Report
from hpcwatch.base.units import (
    UNKNOWN,
    format_bytes,
    format_clock,
    format_cores,
    format_energy,
    format_of_bytes,
    format_pct,
    format_seconds,
    three_digits,
)
from hpcwatch.events import PHASE_BEGIN, PHASE_END
from hpcwatch.recording.previous_runs import EarlierRun
from hpcwatch.recording.store import Event
from hpcwatch.views.report.ending import took
from hpcwatch.views.report.gpu_rows import (
    FEW_GPUS,
    HARMLESS,
    activity_facts,
    all_gpus,
    health_facts,
)
from hpcwatch.views.report.program import PhaseRow, phase_rows, took_text
from hpcwatch.views.report.used_rows import gpus_given, limit_asked

_MOST_EVENTS = 100
NO_USE = ("did nothing", "was never opened")
"""What became of a device that lay idle all the time."""


class Table(NamedTuple):
    """Words in rows. Columns from ``numbers_from`` on hold numbers."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers_from: int


def asked_and_used(report: Report) -> Table:
    """CPU, memory, each GPU and the time: what was requested or allowed, the mean, the peak."""
    summary = report.summary
    asked = "requested" if report.run.job is not None else "allowed"
    cores = summary.cores_allocated
    used = format_cores(summary.cores_used_mean)
    if summary.cpu_efficiency_pct is not None:
        used += f" ({format_pct(summary.cpu_efficiency_pct)})"
    top = summary.cores_used_max
    # Peaks of several nodes need not have come together: their sum would have no meaning.
    where = " on one node" if len(report.timeline.hosts) > 1 and top is not None else ""
    rows = [("CPU", _cores(cores), used, format_cores(top) + where), _memory(report)]
    if len(summary.gpus) <= FEW_GPUS:
        rows += [_gpu(report, gpu) for gpu in summary.gpus]
    else:
        rows.append(all_gpus(summary.gpus))
    given = gpus_given(report)
    if given is not None:
        rows.append(("GPUs", given, UNKNOWN, UNKNOWN))
    asked_s = report.run.job.walltime_s if report.run.job is not None else None
    wall = took(report)
    if asked_s:
        wall += f" ({format_pct(100 * summary.wall_s / asked_s)})"
    rows.append(("Time", format_clock(asked_s), wall, UNKNOWN))
    return Table(("", asked, "used (mean)", "peak"), rows, 1)


def _cores(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count} core{'s' if count != 1 else ''}"


def _memory(report: Report) -> tuple[str, ...]:
    summary = report.summary
    limit = limit_asked(report)
    means = [
        host.part("used_bytes", host.at_s[0] - 1, host.at_s[-1]).average()
        for host in report.timeline.hosts.values()
        if host.at_s
    ]
    mean = max((one for one in means if one == one), default=None)
    used = format_bytes(mean)
    if mean is not None and limit:
        used += f" ({format_pct(100 * mean / limit)})"
    sign = "" if summary.memory_peak_exact or summary.memory_peak_bytes is None else "≥ "
    peak = sign + format_bytes(summary.memory_peak_bytes)
    return (
        "Memory" + (" of the fullest node" if len(means) > 1 else ""),
        format_bytes(limit),
        used,
        peak,
    )


def _gpu(report: Report, gpu: GpuSummary) -> tuple[str, ...]:
    where = f" on {gpu.host}" if len(report.timeline.hosts) > 1 else ""
    facts = [format_pct(gpu.util_max_pct)]
    if gpu.memory_peak_bytes is not None:
        facts.append(f"{format_of_bytes(gpu.memory_peak_bytes, gpu.memory_total_bytes)} of memory")
    if gpu.energy_j is not None:
        facts.append(f"{format_energy(gpu.energy_j)} in all")
    return f"{gpu.label}{where}", gpu.name, busy(gpu), ", ".join(facts)


def busy(gpu: GpuSummary) -> str:
    """Return the mean utilisation, what became of a device that was at 0, or its activity."""
    if gpu.util_mean_pct is None and gpu.sm_active_mean_pct is not None:
        return f"{UNKNOWN}; multiprocessors {format_pct(gpu.sm_active_mean_pct)}"
    said = format_pct(gpu.util_mean_pct)
    return f"{said}, {gpu.use}" if gpu.use in NO_USE else said


def _active(gpu: GpuSummary) -> str:
    """Return the share of multiprocessors at work; who says so, where it is not NVML."""
    said = format_pct(gpu.sm_active_mean_pct)
    if gpu.activity_from is None or gpu.sm_active_mean_pct is None:
        return said
    return f"{said} ({gpu.activity_from})"


def _held_down(gpu: GpuSummary) -> str:
    """Name what lowered the clocks of a device; that it had nothing to do is no such thing."""
    if gpu.clocks_held_by is None:
        return UNKNOWN
    return ", ".join(why for why in gpu.clocks_held_by if why not in HARMLESS) or "nothing"


def _nothing_else(gpu: GpuSummary) -> str:
    """Say that a device has no trouble, or none but what another column names."""
    return "no trouble" if _held_down(gpu) in ("nothing", UNKNOWN) else "no other trouble"


def gpus(report: Report) -> Table:
    """A row a device: what it is, how busy, memory, power, energy, what held its clocks down."""
    rows = [
        (
            f"{gpu.host} {gpu.label}",
            gpu.name,
            gpu.use,
            _held_down(gpu),
            format_pct(gpu.util_mean_pct),
            format_pct(gpu.util_max_pct),
            _active(gpu),
            format_seconds(gpu.idle_s),
            format_of_bytes(gpu.memory_peak_bytes, gpu.memory_total_bytes),
            UNKNOWN if gpu.power_mean_w is None else f"{three_digits(gpu.power_mean_w)} W",
            format_energy(gpu.energy_j),
            ", ".join([*activity_facts(gpu), *health_facts(gpu)]) or _nothing_else(gpu),
        )
        for gpu in report.summary.gpus
    ]
    head = (
        *("GPU", "name", "what it did", "clocks held down by", "busy (mean)", "peak", "SM active"),
        *("idle for", "memory peak", "power (mean)", "energy", "health"),
    )
    return Table(head, rows, 4)


def nodes(report: Report) -> Table:
    """A row a node: cores, memory, volumes, readings."""
    rows = [
        (
            node.host,
            format_cores(node.cores_used_mean),
            format_bytes(node.memory_peak_bytes),
            format_bytes(node.memory_limit_bytes),
            format_bytes(node.read_bytes),
            format_bytes(node.written_bytes),
            f"{node.samples:,}",
        )
        for node in report.nodes
    ]
    head = ("node", "cores (mean)", "memory peak", "limit", "read", "wrote", "readings")
    return Table(head, rows, 1)


def processes(report: Report) -> Table:
    """The largest processes, with the command of each."""
    rows = [
        (
            shlex.join(one.argv) if one.argv else one.name,
            one.host,
            str(one.pid),
            cpu_time(one.cpu_s),
            format_bytes(one.memory_peak_bytes),
            format_bytes(one.gpu_memory_peak_bytes),
        )
        for one in report.processes
    ]
    return Table(("process", "node", "pid", "CPU time", "memory peak", "memory on GPUs"), rows, 2)


def phases(report: Report) -> Table:
    """The program's phases, those of one name together, a phase within another after a ``›``."""
    rows = [
        (
            "› " * min(row.depth, 4)
            + row.name
            + (f" ×{row.times_count:,}" if row.times_count > 1 else ""),
            ", ".join(_counted(row)),
            format_clock(max(row.started_at_s - report.run.started_at_s, 0.0)),
            took_text(row),
            format_cores(row.cores_mean),
        )
        for row in phase_rows(found_phases(report.events), report.timeline)[:_MOST_EVENTS]
    ]
    return Table(("phase", "", "from", "took", "cores (mean)"), rows, 2)


def _counted(row: PhaseRow) -> Iterator[str]:
    if row.errors_count:
        yield f"{row.errors_count:,} failed"
    if row.open_count and row.total_s is not None:
        yield f"{row.open_count:,} not ended"


def results(report: Report) -> Table:
    """The last value of each name that the program logged."""
    found = found_results(report.events)
    return Table(
        ("result", "last logged"), [(name, value_text(of)) for name, of in found.items()], 1
    )


def events(report: Report, most_count: int = _MOST_EVENTS) -> Table:
    """The program's steps and what else was marked, with the time since the start; no phases.

    Of more than ``most_count`` the first and the last: how it began, and how far it came.
    """
    told = [event for event in report.events if event.name not in (PHASE_BEGIN, PHASE_END)]
    more = len(told) - most_count
    first_count = len(told) if more <= 0 else most_count - most_count // 2
    rows = [_event(report, event) for event in told[:first_count]]
    if more > 0:
        rows.append(("…", f"{more:,} more", ""))
        rows += [_event(report, event) for event in told[first_count + more :]]
    return Table(("after", "event", "what"), rows, 3)


def _event(report: Report, event: Event) -> tuple[str, str, str]:
    after = format_clock(max(event.at_s - report.run.started_at_s, 0.0))
    values = ", ".join(f"{name} {value_text(value)}" for name, value in event.fields.items())
    return after, event.name, values


def earlier(runs: list[EarlierRun]) -> Table:
    """Earlier runs of the same name, the latest first."""
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.started_at_s)),
            one.id,
            format_clock(one.wall_s),
            one.how,
            format_cores(one.cores_used_mean),
            format_bytes(one.memory_peak_bytes),
            format_pct(one.gpu_util_mean_pct),
        )
        for one in runs
    ]
    head = ("started", "run", "took", "ended", "cores (mean)", "memory peak", "GPU busy")
    return Table(head, rows, 4)


def cpu_time(value: float | None) -> str:
    """Format CPU time, which no clock shows: seconds, from an hour on hours."""
    if value is None:
        return UNKNOWN
    return f"{three_digits(value)} s" if value < 3600 else f"{three_digits(value / 3600)} h"
