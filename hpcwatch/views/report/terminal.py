"""The report as text of at most 80 columns: how it ended, findings, used against allowed."""

from __future__ import annotations

import os
import time

from hpcwatch.analysis.report import ProcessSummary, Report
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_bytes, format_pct
from hpcwatch.views.report.ending import ending, ending_and_time
from hpcwatch.views.report.used_rows import (
    cpu_seconds,
    host_names,
    how_often,
    limit_words,
    scope_words,
    used_rows,
)
from hpcwatch.views.text import (
    LABEL,
    SIGNS,
    Line,
    Span,
    cut,
    fit,
    line_width,
    render,
    shell_line,
    width_of,
    wrapped,
)

WIDTH = 80
_NAMED = 3
_VERDICT_AFTER_S = 60.0
_TOO_SHORT = "No findings; in less than 5 min little can be judged."
_LEAST_FOLDER = 12
_HOSTS = 40  # columns for the names of many
_SHARE = 0.1  # of CPU or memory: what a named process accounts for at least


def lines(report: Report, width: int = WIDTH) -> list[Line]:
    """Return the report's lines, none wider than ``width``."""
    width = min(width, WIDTH)
    made: list[Line] = [
        _rule(width),
        *_ending(report, width),
        _context(report, width),
        *_verdict(report, width),
        *_next_script(report, width),
        *_findings(report, width),
        [],
        *used_rows(report, width),
        [],
        *_steps(report, width),
        *_ranks(report, width),
        *_largest(report, width),
        *quality_lines(report, width),
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
    style = ending(report)[1]
    where = f"{run.job.id} · " if run.job is not None else ""
    hosts = f"{cut(clean(host_names(run.hosts)), _HOSTS)} · " if run.hosts else ""
    tail = f" · {clean(where)}{hosts}"
    said = ending_and_time(report)
    command = clean(shell_line(run.argv) or run.name)
    room = width - width_of(tail) - width_of(said)
    if room < min(16, width_of(command)):  # two lines rather than an unrecognisable command
        return [
            [Span(cut(command, width), "bold")],
            [Span(tail.removeprefix(" · ")), Span(said, style)],
        ]
    return [[Span(cut(command, room), "bold"), Span(tail), Span(said, style)]]


def _context(report: Report, width: int) -> Line:
    """Say when, whose, of which job and in which folder; a long folder loses its beginning."""
    run = report.run
    said = [time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at_s)), run.user]
    if run.job is not None and run.job.name:
        said.append(f"job {run.job.name}")
        if run.job.queue:
            said[-1] += f" in {run.job.queue}"
    line = clean(" · ".join(said))
    folder = clean(run.cwd)
    room = max(width - width_of(line) - 3, _LEAST_FOLDER)
    if width_of(folder) > room:
        folder = "…" + cut(folder[::-1], room)[-2::-1]
    return [Span(f"{line} · {folder}" if folder else line, "dim")]


def _verdict(report: Report, width: int) -> list[Line]:
    """What is wrong and what to ask for; how it ended is said above, what it used below."""
    if not report.findings and report.summary.wall_s < _VERDICT_AFTER_S:
        return [[Span(_TOO_SHORT)]]  # in the words of verdict.py, whose import takes longer
    from hpcwatch.views.report.verdict import verdict

    said = clean(" ".join(verdict(report)[1:]))
    return [[Span(row)] for row in wrapped(said, max(width, 10))]


def _next_script(report: Report, width: int) -> list[Line]:
    """What to change in the job script, old and new side by side where both fit."""
    if report.advice is None and not report.findings:
        return []
    from hpcwatch.views.report.next_script import next_script

    script = next_script(report)
    notes = wrapped(clean(" ".join(script.notes)), max(width - 2, 10))
    if not script.changes:
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
    if not report.findings:
        return []
    from hpcwatch.analysis.findings.together import together
    from hpcwatch.views.report.next_script import own_changes

    made: list[Line] = []
    is_many = len(report.timeline.hosts) > 1
    told: set[str] = set()
    for finding, hosts in together(report.findings):
        word = finding.severity.name.lower()
        style = "" if word == "info" else word
        title = [Span(f"{SIGNS[word]} {word:8} ", style), Span(clean(finding.title), "bold")]
        gap = width - line_width(title) - len(finding.rule)
        if gap >= 2:
            title += [Span(" " * gap), Span(finding.rule, "dim")]
        made.append(title)
        where = f"On {clean(host_names(hosts))}. " if is_many and any(hosts) else ""
        advice = "As above." if finding.advice in told else clean(finding.advice)
        told.add(finding.advice)
        rows = wrapped(where + advice, max(width - LABEL, 10))
        made += [[Span(" " * LABEL + row)] for row in rows]
        for change in own_changes(report, finding):  # the others are said above, all at once
            if change.old:
                made.append([Span(f"{'':{LABEL}}- {clean(change.old)}", "dim")])
            if change.new:
                made.append([Span(f"{'':{LABEL}}+ {clean(change.new)}", "ok")])
    return [[], *made]


def _steps(report: Report, width: int) -> list[Line]:
    """The program's own events."""
    if not report.events:
        return []
    from hpcwatch.views.report.program import step_lines

    made = step_lines(report, LABEL, width)
    return [*made, []] if made else []


def _ranks(report: Report, width: int) -> list[Line]:
    """The ranks of a parallel program."""
    if not report.ranks:
        return []
    from hpcwatch.views.report.ranks import rank_lines

    return rank_lines(report, width)


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
        made.append([Span(f"{label:{LABEL}}{_process(process, width - LABEL)}")])
    if (summary.processes_total or 0) > len(made):
        seen = f"{summary.processes_total:,} seen, at most {summary.processes_max or 0:,} at once"
        made.append([Span(f"{'':{LABEL}}{seen}", "dim")])
    return [*made, []] if made else []


def _process(process: ProcessSummary, width: int) -> str:
    figures = f"{cpu_seconds(process.cpu_s):>9} CPU {format_bytes(process.memory_peak_bytes):>9}  "
    argv = process.argv or [process.name]
    command = clean(shell_line([os.path.basename(argv[0]), *argv[1:]]))
    return figures + cut(f"{process.pid} {command}", width - len(figures))


def quality_lines(report: Report, width: int) -> list[Line]:
    """Say how often it was measured, what stayed unknown, and what the measuring took."""
    quality = report.quality
    said = ""
    if report.run.kind == "job" and (not quality.samples or report.sources):
        from hpcwatch.views.report.unwatched import is_unwatched, shared_words, unwatched_words

        if is_unwatched(report):
            return [[Span(row, "dim")] for row in wrapped(unwatched_words(report), width)]
        said = f"{shared_words(report)}. "
    said += ", ".join(how_often(report))
    if quality.coverage_pct is not None and quality.coverage_pct < 95 and report.summary.wall_s > 5:
        said += f" covering {format_pct(quality.coverage_pct)} of the time"
    own = [cpu_seconds(quality.monitor_cpu_s) + " CPU", format_bytes(quality.monitor_memory_bytes)]
    if quality.monitor_cpu_s is not None or quality.monitor_memory_bytes is not None:
        said += f"; hpcwatch itself {', '.join(own)}"
    said += "."
    if report.summary.memory_limit_source is not None:
        fullest = " on the fullest node" if len(report.timeline.hosts) > 1 else ""
        said += f" Memory is measured against {limit_words(report.summary)}{fullest}."
    said += "".join(f" {sentence}" for sentence in scope_words(report))
    for name, reason in quality.reasons.items():
        from hpcwatch.views.report.evidence import label

        said += f" Unknown: {label(name)}: {reason}."
    for name, reason in quality.probe_errors.items():
        said += f" Unknown: {clean(name)}: {clean(reason)}."
    if quality.odd_lines:
        said += f" Damaged lines of the recording, left out: {quality.odd_lines}."
    return [[Span(row, "dim")] for row in wrapped(said, width)]
