"""A user's jobs as a table. Pure: text made of jobs, flags and a time."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hpcwatch.analysis.findings import Severity
from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN
from hpcwatch.cluster.schedulers.arrays import counted
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.views.jobs import cells
from hpcwatch.views.jobs.flags import Flag, Used, used
from hpcwatch.views.table import GAP, Words, width_of_words, word_cells, word_titles
from hpcwatch.views.text import SIGNS, Line, Span, cut, fit, line_width

_GAP = " " * GAP
_INDENT = 3
_LONGEST_NAME, _SHORT_NAME, _SHORTEST_NAME = 40, 12, 8
_LONGEST_QUEUE = 12
_STYLES = {
    JobState.RUNNING: "ok",
    JobState.FAILED: "warning",
    JobState.TIMEOUT: "warning",
    JobState.OUT_OF_MEMORY: "warning",
    JobState.NODE_FAILED: "warning",
}
_RIGHT = frozenset({"cores", "memory", "GPUs", "nodes"})
_GIVE_WAY = ("queue", "nodes", "GPUs")
"""Columns that are left out where the width does not do, the first of them first."""


class JobRow(NamedTuple):
    """A job and what there is to say of it."""

    job: Job
    flags: tuple[Flag, ...]


def state_style(job: Job) -> str:
    """Return the style of a job's state."""
    return _STYLES.get(job.state, "")


def ordered(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs in the order of the table: running, waiting, over; each the oldest first."""
    return sorted(jobs, key=lambda job: (_place(job), _since_s(job)))


def _place(job: Job) -> int:
    return _place_of(job.state)


def _place_of(state: JobState) -> int:
    if state.is_waiting:
        return 1
    return 2 if state.is_over or state is JobState.UNKNOWN else 0


def _since_s(job: Job) -> float:
    return job.ended_at_s or job.started_at_s or job.submitted_at_s or 0.0


def lines(title: str, rows: Sequence[JobRow], now_s: float, width: int) -> list[Line]:
    """Return the table's lines, none wider than ``width``. There is at least one row."""
    columns = fitting_columns(rows, now_s, width)
    made: list[Line] = [
        [Span(clean(title), "head"), Span(f": {counts_words([row.job for row in rows])}")],
        [],
        [Span(word_titles(columns), "dim")],
    ]
    state = [column.title for column in columns].index("state")
    for index, row in enumerate(rows):
        texts = word_cells(columns, index)
        line = [
            Span(_GAP.join(texts[:state]) + _GAP),
            Span(texts[state], state_style(row.job)),
            Span(_GAP + _GAP.join(texts[state + 1 :])),
        ]
        made += _with_flags(line, row.flags, width)
    notes = _notes([used(row.job, now_s) for row in rows])
    made += [[], *notes] if notes else []
    return [fit(line, width) for line in made]


def counts_words(jobs: Sequence[Job]) -> str:
    """Say how many there are of each kind: ``2 running (40 cores, 2 GPUs), 1 waiting``.

    Each task of an array is one. Torque lists a begun array without its tasks.
    """
    kinds: Counter[int] = Counter()
    cores = gpus = arrays = 0
    for job in jobs:
        if job.is_array and job.tasks is None and _place(job) == 0:
            arrays += 1
            continue
        for state, many in counted([job]).items():
            place = _place_of(state)
            kinds[place] += many
            if place == 0:
                cores += many * (job.cores_count or 0)
                gpus += many * (job.gpus_count or 0)
    sizes = [_many(cores, "core"), _many(gpus, "GPU")]
    held = ", ".join(size for size in sizes if not size.startswith("0"))
    said = []
    if kinds[0]:
        said.append(f"{kinds[0]} running" + (f" ({held})" if held else ""))
    if arrays:
        said.append(f"{_many(arrays, 'array')} begun")
    said += [
        f"{kinds[place]} {word}" for place, word in ((1, "waiting"), (2, "over")) if kinds[place]
    ]
    return ", ".join(said)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _with_flags(line: Line, flags: Sequence[Flag], width: int) -> list[Line]:
    """Put flags at the right end of a row if there is room, else below it."""
    if not flags:
        return [line]
    spans = [flag_span(flag) for flag in flags]
    beside = [*line, *(part for span in spans for part in (Span(_GAP), span))]
    if line_width(beside) <= width:
        return [beside]
    room = max(width - _INDENT, 20)
    return [
        line,
        *(
            [Span(" " * _INDENT), span._replace(text=row)]
            for span in spans
            for row in textwrap.wrap(span.text, room, subsequent_indent="  ")
        ),
    ]


def flag_span(flag: Flag) -> Span:
    """Return a flag with the sign and the colour of its severity."""
    word = flag.severity.name.lower()
    style = "" if flag.severity is Severity.INFO else word
    return Span(f"{SIGNS[word]} {clean(flag.text)}", style)


def _notes(uses: Sequence[Used]) -> list[Line]:
    found = {use.covers for use in uses}
    return [
        [Span(f"{mark} {words}", "dim")]
        for covers, (mark, words) in cells.MARKS.items()
        if covers in found
    ]


def fitting_columns(rows: Sequence[JobRow], now_s: float, width: int) -> list[Words]:
    """Return as many columns as fit: names and times get short, then the right ones go."""
    columns = _columns(rows, now_s)
    if width_of_words(columns) <= width:
        return columns
    columns = _narrower(columns, width, _SHORT_NAME)
    if width_of_words(columns) <= width:
        return columns
    columns = _replaced(columns, "time", [cells.time(row.job, now_s) for row in rows])
    for title in (None, *_GIVE_WAY):
        columns = [column for column in columns if column.title != title]
        if width_of_words(columns) <= width:
            return columns
    return _narrower(columns, width, _SHORTEST_NAME)


def _narrower(columns: Sequence[Words], width: int, least: int) -> list[Words]:
    """Cut the names as far as needed, but not below a minimum width."""
    names = next(column for column in columns if column.title == "name")
    most = max(names.width - (width_of_words(columns) - width), least)
    return _replaced(columns, "name", [cut(name, most) for name in names.words])


def _replaced(columns: Sequence[Words], title: str, texts: list[str]) -> list[Words]:
    return [Words(title, texts) if one.title == title else one for one in columns]


def _columns(rows: Sequence[JobRow], now_s: float) -> list[Words]:
    jobs = [row.job for row in rows]
    makers: list[tuple[str, Callable[[Job], str]]] = [
        ("id", lambda job: clean(job.id)),
        ("name", lambda job: cut(clean(job.name or UNKNOWN), _LONGEST_NAME)),
        ("state", cells.state),
        ("time", lambda job: cells.time(job, now_s, is_long=True)),
        ("cores", lambda job: cells.cores(job, now_s)),
        ("memory", lambda job: cells.memory(job, now_s)),
        ("GPUs", lambda job: cells.count(job.gpus_count)),
        ("nodes", lambda job: cells.count(job.nodes_count or len(job.nodes) or None)),
        ("queue", lambda job: cut(clean(job.queue or UNKNOWN), _LONGEST_QUEUE)),
    ]
    if not any(job.gpus_count for job in jobs):
        makers = [maker for maker in makers if maker[0] != "GPUs"]
    return [Words(title, [cell(job) for job in jobs], title in _RIGHT) for title, cell in makers]
