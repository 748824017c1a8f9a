"""The report as text of at most 80 columns: how it ended, findings, used against allowed."""

from __future__ import annotations

import math
import os
import shlex
import textwrap
from typing import TYPE_CHECKING

from hpcwatch.findings import ACCUSE_AFTER_S
from hpcwatch.findings.together import together
from hpcwatch.report import ProcessSummary, Report
from hpcwatch.schedulers.hosts import fold_hosts
from hpcwatch.series import joined
from hpcwatch.units import (
    UNKNOWN,
    format_bytes,
    format_clock,
    format_cores,
    format_pct,
    format_seconds,
    three_digits,
)
from hpcwatch.views.cost_words import cost
from hpcwatch.views.text import (
    SIGNS,
    Line,
    Span,
    clean,
    cut,
    fit,
    line_width,
    render,
    sparkline,
    width_of,
)

if TYPE_CHECKING:
    from hpcwatch.schedulers.job import Job

WIDTH = 80
_LABEL = 11
_SPARK = 20
_NAMED = 3
_HOSTS = 40  # columns for the names of many
_SHARE = 0.1  # of CPU or memory: what a named process accounts for at least

LIMITS = {
    "cgroup": "the control group's limit",
    "request": "the memory asked for",
    "node": "the node's memory",
}


def lines(report: Report, width: int = WIDTH) -> list[Line]:
    """Return the report's lines, none wider than ``width``."""
    width = min(width, WIDTH)
    made: list[Line] = [
        _rule(width),
        *_ending(report, width),
        *_verdict(report, width),
        *_next_script(report, width),
        *_findings(report, width),
        [],
        *_table(report, width),
        [],
        *_steps(report, width),
        *_largest(report, width),
        *_quality(report, width),
    ]
    return [fit(line, width) for line in made]


def text(report: Report, coloured: bool, width: int = WIDTH) -> str:
    """Return the report as text ending in a newline."""
    return "".join(render(line, coloured).rstrip() + "\n" for line in lines(report, width))


def _rule(width: int) -> Line:
    title = " hpcwatch "
    return [Span("──", "dim"), Span(title, "head"), Span("─" * (width - 2 - len(title)), "dim")]


def _ending(report: Report, width: int) -> list[Line]:
    run = report.run
    how, style = ending(report)
    where = f"{run.job.id} · " if run.job is not None else ""
    hosts = cut(clean(fold_hosts(run.hosts)), _HOSTS)
    tail = f" · {clean(where)}{hosts} · "
    said = f"{how} after {format_clock(report.summary.wall_s)}"
    if report.summary.wall_s < 60:
        said = f"{how} after {format_seconds(report.summary.wall_s)}"
    command = clean(shlex.join(run.argv) or run.name)
    room = width - width_of(tail) - width_of(said)
    if room < min(16, width_of(command)):  # two lines rather than a command nobody recognises
        return [
            [Span(cut(command, width), "bold")],
            [Span(tail.removeprefix(" · ")), Span(said, style)],
        ]
    return [[Span(cut(command, room), "bold"), Span(tail), Span(said, style)]]


def ending(report: Report) -> tuple[str, str]:
    """Say how the run ended, and in which style."""
    run = report.run
    if run.kind == "job" and run.job is not None:
        return _job_ending(run.job)
    if run.ended_at_s is None:
        return _unended(report), "warning"
    if run.signal is not None:
        return f"killed by {signal_name(run.signal)}", "critical"
    if run.exit_code:
        return f"failed (exit {run.exit_code})", "critical"
    return "ended normally", "ok"


def _unended(report: Report) -> str:
    if report.is_running:
        return "still running"
    if report.is_running is None:  # it ran elsewhere: nobody here can tell
        return "unfinished; last seen"
    return "its monitor was killed; last seen"


def _job_ending(job: Job) -> tuple[str, str]:
    """Say what became of a job, in its scheduler's figures."""
    if not job.state.is_over:
        return f"{job.state.value} when last asked", "warning"
    style = "ok" if job.state.value == "completed" else "critical"
    if job.exit is None:
        return job.state.value, style
    return f"{job.exit.words} ({job.exit.raw})" if style != "ok" else job.exit.words, style


def signal_name(number: int) -> str:
    """Return a signal's name with its number: ``SIGKILL (9)``."""
    import signal

    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"


def _verdict(report: Report, width: int) -> list[Line]:
    """What is wrong and what to ask for; how it ended is said above, what it used below."""
    from hpcwatch.views.verdict import verdict

    if not report.findings and report.summary.wall_s < ACCUSE_AFTER_S:
        return []
    said = clean(" ".join(verdict(report)[1:]))
    return [[Span(row)] for row in textwrap.wrap(said, max(width, 10))]


def _next_script(report: Report, width: int) -> list[Line]:
    """What to change in the job script, old and new side by side where both fit."""
    from hpcwatch.views.next_script import next_script

    script = next_script(report)
    notes = textwrap.wrap(clean(" ".join(script.notes)), max(width - 2, 10))
    if not script.lines:  # single changes stand beside their findings
        return [[], *([Span(f"{row}", "dim")] for row in notes)] if notes else []
    head = "Next job script"
    saves = f"saves {script.share}" if script.share else ""
    made: list[Line] = [[], [Span(head, "bold"), Span(f"{saves:>{max(width - len(head), 0)}}")]]
    for change in script.changes:
        old = f"  - {clean(change.old)}" if change.old else ""
        new = f"  + {clean(change.new)}" if change.new else ""
        if max(width_of(old), width_of(new)) <= width // 2:
            gap = " " * (width // 2 - width_of(old))
            made.append([Span(old + gap, "dim"), Span(new, "ok")])
        else:
            made += [[Span(row, style)] for row, style in ((old, "dim"), (new, "ok")) if row]
    return made + [[Span(f"  {row}", "dim")] for row in notes]


def _findings(report: Report, width: int) -> list[Line]:
    is_whole = bool(report.advice is not None and report.advice.lines)
    made: list[Line] = []
    is_many = len(report.timeline.hosts) > 1
    for finding, hosts in together(report.findings):
        word = finding.severity.name.lower()
        style = "" if word == "info" else word
        title = [Span(f"{SIGNS[word]} {word:8} ", style), Span(clean(finding.title), "bold")]
        gap = width - line_width(title) - len(finding.rule)
        if gap >= 2:
            title += [Span(" " * gap), Span(finding.rule, "dim")]
        made.append(title)
        where = f"On {clean(fold_hosts(hosts))}. " if is_many and any(hosts) else ""
        wrapped = textwrap.wrap(where + clean(finding.advice), max(width - _LABEL, 10))
        made += [[Span(" " * _LABEL + row)] for row in wrapped]
        for change in () if is_whole else finding.directives:  # said above, all at once
            if change.old:
                made.append([Span(f"{'':{_LABEL}}- {clean(change.old)}", "dim")])
            if change.new:
                made.append([Span(f"{'':{_LABEL}}+ {clean(change.new)}", "ok")])
    return [[], *made] if made else []


def _table(report: Report, width: int) -> list[Line]:
    summary = report.summary
    asked = "asked" if report.run.job is not None else "allowed"
    made: list[Line] = [[Span(f"{'':{_LABEL}}{asked:11}{'used (mean)':19}peak", "dim")]]
    made.append(_cpu_row(report))
    made.append(_memory_row(report))
    if summary.memory_files_bytes:
        where = clean(summary.memory_files_where or "")
        files = f"of it up to {format_bytes(summary.memory_files_bytes)} in files in {where}"
        made.append([Span(f"{'':{_LABEL}}{files}", "dim")])
    if summary.gpus:
        from hpcwatch.views.gpu_rows import gpu_rows

        made += gpu_rows(report, width, _LABEL)
    time_asked = report.run.job.walltime_s if report.run.job is not None else None
    if time_asked:
        share = f" ({format_pct(100 * summary.wall_s / time_asked)})"
        made.append(
            _row("Time", format_clock(time_asked), format_clock(summary.wall_s) + share, "")
        )
    seconds = (
        f"{_seconds(summary.cpu_s)} (user {_seconds(summary.cpu_user_s)},"
        f" system {_seconds(summary.cpu_system_s)})"
    )
    made.append([Span(f"{'CPU time':{_LABEL}}"), Span(seconds)])
    volume = f"read {format_bytes(summary.read_bytes)}, wrote {format_bytes(summary.written_bytes)}"
    made.append([Span(f"{'Storage':{_LABEL}}{volume}")])
    if report.costs is not None:
        made.append([Span(f"{'Cost':{_LABEL}}{clean(cost(report.costs))}")])
    return made


def _row(label: str, asked: str, used: str, peak: str, spark: str = "", tail: str = "") -> Line:
    return [
        Span(f"{label:{_LABEL}}{asked:11}{used:19}{peak:12}"),
        Span(spark, "ok"),
        Span(f"  {tail}" if tail else ""),
    ]


def _cpu_row(report: Report) -> Line:
    summary = report.summary
    cores = summary.cores_allocated
    asked = UNKNOWN if cores is None else f"{cores} core" + ("s" if cores != 1 else "")
    used = format_cores(summary.cores_used_mean)
    if summary.cpu_efficiency_pct is not None:
        used += f" ({format_pct(summary.cpu_efficiency_pct)})"
    values = joined(report.timeline.hosts.values(), "cpu_cores", sum)
    highest = max((value for value in values if value == value), default=math.nan)
    spark = sparkline(values, max(cores or 0, 1), _SPARK)
    return _row("CPU", asked, used, format_cores(highest), spark)


def _memory_row(report: Report) -> Line:
    """Of several nodes, the one that uses most: limits are each node's own."""
    summary = report.summary
    limit = summary.memory_limit_bytes
    hosts = list(report.timeline.hosts.values())
    means = [host.part("used_bytes", host.at_s[0] - 1, host.at_s[-1]).average() for host in hosts]
    mean = max((one for one in means if one == one), default=math.nan)
    values = joined(hosts, "used_bytes", max)
    used = format_bytes(mean)
    if limit and mean == mean:
        used += f" ({format_pct(100 * mean / limit)})"
    sign = "" if summary.memory_peak_exact or summary.memory_peak_bytes is None else "≥ "
    spark = sparkline(values, max((v for v in values if v == v), default=0.0), _SPARK)
    peak = sign + format_bytes(summary.memory_peak_bytes)
    return _row("Memory", format_bytes(limit), used, peak, spark)


def _steps(report: Report, width: int) -> list[Line]:
    """What the program told of itself."""
    if not report.events:
        return []
    from hpcwatch.views.steps import step_lines

    made = step_lines(report, _LABEL, width)
    return [*made, []] if made else []


def _largest(report: Report, width: int) -> list[Line]:
    """Name the processes that account for a share worth naming."""
    summary = report.summary
    large = [
        process
        for process in report.processes
        if (process.cpu_s or 0) >= _SHARE * (summary.cpu_s or 0)
        or (process.memory_peak_bytes or 0) >= _SHARE * (summary.memory_peak_bytes or 0)
    ]
    made: list[Line] = []
    for process in large[:_NAMED]:
        label = "Processes" if not made else ""
        made.append([Span(f"{label:{_LABEL}}{_process(process, width - _LABEL)}")])
    if (summary.processes_total or 0) > len(made):
        seen = f"{summary.processes_total:,} seen, at most {summary.processes_max or 0:,} at once"
        made.append([Span(f"{'':{_LABEL}}{seen}", "dim")])
    return [*made, []] if made else []


def _process(process: ProcessSummary, width: int) -> str:
    figures = f"{_seconds(process.cpu_s):>9} CPU {format_bytes(process.memory_peak_bytes):>9}  "
    argv = process.argv or [process.name]
    command = clean(shlex.join([os.path.basename(argv[0]), *argv[1:]]))
    return figures + cut(f"{process.pid} {command}", width - len(figures))


def _seconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{three_digits(value)} s"


def _quality(report: Report, width: int) -> list[Line]:
    quality = report.quality
    interval = three_digits(quality.interval_s)
    if not quality.samples and report.run.kind == "job":
        return [[Span(row, "dim")] for row in textwrap.wrap(_unwatched(report), width)]
    said = f"Measured every {interval} s, {quality.samples:,} readings"
    if quality.coverage_pct is not None and quality.coverage_pct < 95 and report.summary.wall_s > 5:
        said += f" covering {format_pct(quality.coverage_pct)} of the time"
    own = [_seconds(quality.monitor_cpu_s) + " CPU", format_bytes(quality.monitor_memory_bytes)]
    if quality.monitor_cpu_s is not None or quality.monitor_memory_bytes is not None:
        said += f"; hpcwatch itself {', '.join(own)}"
    said += "."
    if report.summary.memory_limit_source is not None:
        fullest = " on the fullest node" if len(report.timeline.hosts) > 1 else ""
        said += (
            f" Memory is measured against {LIMITS[report.summary.memory_limit_source]}{fullest}."
        )
    for name, reason in quality.probe_errors.items():
        said += f" Unknown: {clean(name)}: {clean(reason)}."
    if quality.odd_lines:
        said += f" Damaged lines of the recording, left out: {quality.odd_lines}."
    return [[Span(row, "dim")] for row in textwrap.wrap(said, width)]


def _unwatched(report: Report) -> str:
    """Say whose figures these are when nobody watched."""
    said = "hpcwatch did not watch this job: the figures are its scheduler's own"
    usage = report.run.job.usage if report.run.job is not None else None
    if usage is None:
        return f"{said}, and it gives none of the use."
    covers = "" if usage.covers.value == "all nodes" else f" ({usage.covers.value})"
    return f"{said}{covers}. Next time, watch it while it runs: hpcwatch job ID"
