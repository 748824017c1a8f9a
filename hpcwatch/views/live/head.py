"""What stands above every page: the job, its time, requested and used, what was found. Pure."""

from __future__ import annotations

from collections import Counter

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.findings.together import told
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_clock, format_seconds
from hpcwatch.cluster.schedulers.arrays import counted
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.picture import Telling
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.findings import finding_rows, title_span
from hpcwatch.views.live.head_amounts import peak_text, requested_text, used_text
from hpcwatch.views.live.layout import bar, flow, spread
from hpcwatch.views.live.words import FOUND_BY, age, state_style, state_text
from hpcwatch.views.run.line import style_of
from hpcwatch.views.text import SIGNS, Line, Span, cut, fit, line_width, width_of

_LOW = 12  # a lower screen shows the job's line alone
_PAIR = 100  # columns from which on findings stand side by side
_LATE_S = 600.0
_NAME_COLUMNS = 24


def head(board: Board, width: int, height: int, has_advice: bool = False) -> list[Line]:
    """Return the lines above a page, for a screen of a given size.

    With ``has_advice`` the findings have their advice, of one host without its name.
    """
    picture = board.picture
    lines: list[Line] = [_job_line(board, width)]
    if height < _LOW:
        return lines
    lines += flow(_facts(board), width, 2 if height < 30 else 3)
    if picture.telling is not None:
        lines.append(fit(_told(picture.telling), width))
    if picture.note:
        lines.append(fit([Span(f" {clean(picture.note)}", "warning")], width))
    found = told(picture.findings)
    if has_advice:
        bare = [one._replace(host="") for one in found]
        return [*lines, *finding_rows(bare, width, max(height // 5, 1))]
    return [*lines, *_findings(found, width, max((height - 14) // 5, 0))]


def _job_line(board: Board, width: int) -> Line:
    job = board.picture.job
    if job is None:
        return fit([Span(f" {clean(board.picture.title)}", "head"), *_tasks(board)], width)
    names = [word for word in (job.name, job.owner, job.queue) if word]
    spans = [Span(f" {clean(job.id)}", "head")]
    state = [Span("  "), Span(state_text(job), state_style(job))]
    if job.state.is_over and job.exit is not None:
        state.append(Span(f": {job.exit.words}"))
    elif job.state is JobState.UNKNOWN and job.reason:
        state.append(Span(f": {clean(job.reason)}"))
    least = line_width([*spans, *state])
    times = (_time(board, job, width), _left(board, job))
    time: Line = next((one for one in times if least + line_width(one) < width), [])
    room = width - least - line_width(time) - 2
    shown = cut("".join(f"  {clean(name)}" for name in names), max(room, 0))
    verdict = _verdict(board)
    if width_of(shown) + line_width(verdict) <= room:
        state += verdict
    return spread([*spans, Span(shown, "bold"), *state], time, width)


def _tasks(board: Board) -> Line:
    """Return the name of an array, and how many of its tasks are in which state."""
    parts = board.picture.parts
    if not parts:
        return []
    names = [word for word in (parts[0].name, parts[0].owner, parts[0].queue) if word]
    states = counted(parts)
    count = sum(states.values())
    said = ", ".join(f"{states[state]} {state.value}" for state in JobState if states[state])
    return [
        Span("".join(f"  {clean(name)}" for name in names), "bold"),
        Span(f"  {count} task{'s' * (count != 1)}: {said}"),
    ]


def _time(board: Board, job: Job, width: int) -> Line:
    """Return the time the job has run, of its walltime, and what is left of it."""
    elapsed_s = job.elapsed_at(board.picture.at_s)
    if job.state.is_waiting or elapsed_s is None:
        requested = "" if job.walltime_s is None else f"{format_clock(job.walltime_s)} requested "
        return [Span(requested)]
    if job.state.is_over and job.ended_at_s is None:  # its duration is unknown
        return []
    if job.walltime_s is None:
        return [Span(f"{format_clock(elapsed_s)} ")]
    text = f" {format_clock(elapsed_s)} of {format_clock(job.walltime_s)}"
    if job.state.is_over:
        return [Span(f"{text} ")]
    left_s = max(job.walltime_s - elapsed_s, 0.0)
    style = left_style(left_s, job.walltime_s)
    length = min(max((width - 70) // 4, 0), 20)
    drawn = [Span("▕"), Span(bar(elapsed_s / max(job.walltime_s, 1), length), style or "ok")]
    ending = [Span(f"{text}, "), *_left(board, job)]
    return [*drawn, Span("▏"), *ending] if length >= 5 else ending


def _left(board: Board, job: Job) -> Line:
    """Return what is left of the time of a job that runs: ``69 h left``."""
    is_running = not (job.state.is_waiting or job.has_ended)
    elapsed_s = job.elapsed_at(board.picture.at_s)
    if job.walltime_s is None or elapsed_s is None or not is_running:
        return []
    left_s = max(job.walltime_s - elapsed_s, 0.0)
    left = "overdue " if left_s == 0 else f"{_hours(left_s)} left "
    return [Span(left, left_style(left_s, job.walltime_s))]


def _hours(seconds: float) -> str:
    """Return a time that is left: hours count on, as in the walltime beside it."""
    return f"{seconds / 3600:.0f} h" if seconds >= 10 * 3600 else format_seconds(seconds)


def left_style(left_s: float, walltime_s: float) -> str:
    """Return the style of the time that is left: under a tenth yellow, under a fiftieth red."""
    if left_s < min(_LATE_S, 0.5 * walltime_s) or left_s < 0.02 * walltime_s:
        return "critical"
    return "warning" if left_s < 0.1 * walltime_s else ""


def _facts(board: Board) -> list[Line]:
    """Return requested and used, nodes that answer, the age and the trouble of each source."""
    picture, job = board.picture, board.picture.job
    facts: list[Line] = []
    requested = requested_text(job) if job is not None else ""
    if requested:
        facts.append([Span("requested ", "dim"), Span(requested)])
    if board.nodes and job is not None and job.has_ended:
        facts.append([Span("peak ", "dim"), Span(peak_text(board))])
    elif board.nodes:
        facts.append([Span("using ", "dim"), Span(used_text(board))])
        facts.append([_nodes_span(board)])
    for source in picture.sources:
        text = f"{clean(source.name)} {age(source.age_s)} ago"
        trouble = f": {clean(' '.join(source.trouble.split()))}" if source.trouble else ""
        facts.append([Span(text, "" if trouble else "dim"), Span(trouble, "warning")])
    return [*facts, *_reading(board)]


def _verdict(board: Board) -> Line:
    """Return what the findings of a job that runs come to, in a few words; else nothing."""
    findings = board.picture.findings
    if not board.current:
        return []
    worst = max((one.severity for one in findings), default=None)
    count = f"{len(findings)} finding{'s' * (len(findings) != 1)}"
    if worst is None or worst is Severity.INFO:
        return [Span("  ✓ ", "ok"), Span("nothing to act on" if worst is None else count)]
    words = "act now" if worst is Severity.CRITICAL else "worth a look"
    sign = Span(f"{SIGNS[worst.name.lower()]} {words}", style_of(worst))
    return [Span("  "), sign, Span(f": {count}")]


def _told(telling: Telling) -> Line:
    """Return the program's reported phase, and its run."""
    which = cut(clean(telling.name), _NAME_COLUMNS)
    if not telling.is_going:
        which += ", ended"
    elif telling.going_count > 1:
        which += f", newest of {telling.going_count} runs"
    said = clean(" ".join(telling.words.split()))
    return [Span(f" {which}: ", "dim"), Span(said)]


def _nodes_span(board: Board) -> Span:
    total = len(board.nodes)
    live = [node.status.state for node in board.nodes].count(NodeState.LIVE)
    word = "node" if total == 1 else "nodes"
    return Span(f"{live} of {total} {word}", "" if live == total else "warning")


def _reading(board: Board) -> list[Line]:
    """Say how nodes are read, and by which means the job's processes were found."""
    ways = Counter([node.status.way for node in board.nodes])
    del ways[""]
    said: list[Line] = []
    if ways:
        said.append([Span("by " + ", ".join(clean(way) for way in ways), "dim")])
    found = Counter([node.found_by for node in board.nodes if node.found_by is not None])
    if found:
        worst = max(found, key=lambda by: (by == "user", found[by]))
        words = FOUND_BY.get(worst, clean(worst))
        said.append(
            [Span("processes: ", "dim"), Span(words, "warning" * (worst == "user") or "dim")]
        )
    return said


def _findings(findings: list[Finding], width: int, most_lines: int) -> list[Line]:
    """Return as many findings as there is room for, the worst first, two on a wide line."""
    if not findings or most_lines <= 0:
        return []
    columns = 2 if width >= _PAIR else 1
    shown = findings[: columns * min(most_lines, 6)]
    lines: list[Line] = []
    for first in range(0, len(shown), columns):
        line: list[Span] = []
        pair = shown[first : first + columns]
        room = width // len(pair)
        for finding in pair:
            span = title_span(finding, room - 2)
            line += [Span(" "), span, Span(" " * (room - 1 - line_width([span])))]
        lines.append(line)
    hidden = len(findings) - len(shown)
    if hidden:
        more = [Span(f" +{hidden} more ", "dim")]
        lines[-1] = spread(fit(lines[-1], width - line_width(more)), more, width)
    return lines
