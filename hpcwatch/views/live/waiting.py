"""A job that has not started: why it waits, since when, when it may start. Pure."""

from __future__ import annotations

import textwrap

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_clock, format_seconds
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.views.jobs.reasons import plain
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.head_amounts import requested_text
from hpcwatch.views.live.words import moment
from hpcwatch.views.text import Line, Span, fit

_LABEL = 14


def waiting_lines(board: Board, job: Job, width: int) -> list[Line]:
    """Return what is known of a job that waits."""
    now_s = board.picture.at_s
    held = job.state is JobState.HELD
    lines: list[Line] = [
        [],
        [Span(" It is held." if held else " It waits in the queue.", "warning")],
        [],
        *_why(job, width),
    ]
    rows = [
        ("since", _since(job.submitted_at_s, now_s)),
        ("eligible", _eligible(job, now_s) if _was_later(job) else ""),
        ("place", "" if board.picture.place is None else _place(board.picture.place)),
        ("may start", _start(job, now_s)),
        ("requested", requested_text(job) or UNKNOWN),
        ("licences", clean(job.licenses or "")),
        ("walltime", format_clock(job.walltime_s)),
        ("queue", clean(job.queue or UNKNOWN)),
        ("account", clean(job.account or "")),
        ("its note", clean(job.comment or "") if job.comment != job.reason else ""),
    ]
    lines += [_row(label, text) for label, text in rows if text]
    lines += [[], [Span(" This view stays, and goes live by itself when the job starts.", "dim")]]
    return [fit(line, width) for line in lines]


def _row(label: str, text: str) -> Line:
    return [Span(f" {label:{_LABEL - 1}}", "bold"), Span(text, "dim" if text == UNKNOWN else "")]


def _why(job: Job, width: int) -> list[Line]:
    reason = clean(" ".join((job.reason or "").split()))
    if not reason:
        return [_row("why", "the scheduler gives no reason")]
    words = plain(job.reason or "", job.id)
    room = max(width - _LABEL - 1, 20)
    wrapped = textwrap.wrap(words or reason, room)
    if words:
        wrapped += textwrap.wrap(f"In the scheduler's words: {reason}", room)
    return [_row("" if number else "why", row) for number, row in enumerate(wrapped)]


def _since(at_s: float | None, now_s: float) -> str:
    if at_s is None:
        return UNKNOWN
    return f"{format_seconds(max(now_s - at_s, 0.0))}, {moment(at_s, now_s)}"


def _eligible(job: Job, now_s: float) -> str:
    """Say since when it may start, or from when on."""
    at_s = job.eligible_at_s
    if at_s is None or at_s <= now_s:
        return _since(at_s, now_s)
    return f"in {format_seconds(at_s - now_s)}, {moment(at_s, now_s)}"


def _was_later(job: Job) -> bool:
    return (
        job.eligible_at_s is not None
        and job.submitted_at_s is not None
        and job.eligible_at_s - job.submitted_at_s > 60
    )


def _place(place: int) -> str:
    return "1, it is next" if place == 1 else f"{place} in the queue"


def _start(job: Job, now_s: float) -> str:
    """Return the estimated start; it is the scheduler's guess and says so."""
    at_s = job.estimated_start_at_s
    if job.state is JobState.HELD:
        return "not before it is released"
    if at_s is None:
        return UNKNOWN
    if at_s <= now_s:
        return "any moment (the scheduler's guess)"
    return f"in {format_seconds(at_s - now_s)}, {moment(at_s, now_s)} (the scheduler's guess)"
