"""Past jobs as a table of text, with totals and the worst. Pure.

Built for a hundred thousand rows: each cell is formatted once, and no cell is an object of its own.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from hpcwatch.analysis.history import Hours, Totals, change_for
from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN
from hpcwatch.cluster.schedulers.history import PastJob, Source
from hpcwatch.views.jobs import history_cells as cells
from hpcwatch.views.text import cut, width_of

Row = tuple[PastJob, Hours]
_LONGEST_NAME, _SHORT_NAME, _SHORTEST_NAME = 32, 10, 8


class Column(NamedTuple):
    """A column; ``rank`` says which gives way first where there is no room, 0 stays."""

    title: str
    cell: Callable[[PastJob, Hours], str]
    rank: int = 0
    is_left: bool = False


_COLUMNS = (
    Column("id", lambda job, _: clean(job.id), 0, True),
    Column("name", lambda job, _: cut(clean(job.name or UNKNOWN), _LONGEST_NAME), 0, True),
    Column("user", lambda job, _: clean(job.owner or UNKNOWN), 2, True),
    Column("ended", lambda job, _: cells.ending(job), 0, True),
    Column("waited", lambda job, _: cells.waited(job), 9),
    Column("ran", lambda job, _: cells.ran(job), 4),
    Column("cores", lambda job, _: cells.cores(job)),
    Column("memory", lambda job, _: cells.memory(job)),
    Column("GPUs", lambda job, _: cells.gpus(job)),
    Column("idle core-h", lambda _, hours: cells.hours(hours.idle_core), 3),
    Column("idle GPU-h", lambda _, hours: cells.hours(hours.idle_gpu), 5),
    Column("cost", lambda _, hours: cells.hours(hours.cost), 8),
)


class Shown(NamedTuple):
    """What is above and below the rows."""

    title: str
    totals: Totals
    worst: Sequence[Row]
    unit: str
    """Of costs."""
    notes: Sequence[str]


def text(rows: Sequence[Row], shown: Shown, width: int) -> Iterator[str]:
    """Yield the lines, none wider than ``width``."""
    yield from wrapped(shown.title, width, "", "  ")
    if rows:
        yield ""
        yield from table(rows, shown.totals, width)
    yield from below(shown, width)


def table(rows: Sequence[Row], totals: Totals, width: int) -> Iterator[str]:
    """Yield the titles and the rows."""
    columns = _wanted(rows, totals)
    texts = [[column.cell(job, hours) for job, hours in rows] for column in columns]
    widths = [_widest([column.title, *words]) for column, words in zip(columns, texts)]
    gap = 2 if width >= 100 else 1
    kept, widths = _fitting(columns, widths, gap, width)
    names = next(at for at in kept if columns[at].title == "name")
    most = widths[names]
    texts[names] = [cut(name, most) if width_of(name) > most else name for name in texts[names]]
    padded = [
        _padded([columns[at].title, *texts[at]], columns[at].is_left, widths[at]) for at in kept
    ]
    is_wide = sum(widths[at] + gap for at in kept) - gap > width
    for line in map((" " * gap).join, zip(*padded)):
        yield cut(line, width) if is_wide else line.rstrip()


def _widest(words: Sequence[str]) -> int:
    """Return how many columns the widest word takes; a hundred thousand plain ones at once."""
    return max(map(len if all(map(str.isascii, words)) else width_of, words))


def _padded(words: Sequence[str], is_left: bool, width: int) -> list[str]:
    if all(map(str.isascii, words)):
        return [word.ljust(width) if is_left else word.rjust(width) for word in words]
    blanks = [" " * (width - width_of(word)) for word in words]
    return [word + more if is_left else more + word for word, more in zip(words, blanks)]


def _wanted(rows: Sequence[Row], totals: Totals) -> list[Column]:
    """Return the columns that say something."""
    left_out = set()
    if len({job.owner for job, _ in rows}) == 1:
        left_out.add("user")
    if not any(job.gpus_count for job, _ in rows):
        left_out |= {"GPUs", "idle GPU-h"}
    if not totals.cost.known_count:
        left_out.add("cost")
    return [column for column in _COLUMNS if column.title not in left_out]


def _fitting(
    columns: Sequence[Column], widths: list[int], gap: int, width: int
) -> tuple[list[int], list[int]]:
    """Return which columns fit and how wide each is: names get short, then others give way."""
    kept, widths = list(range(len(columns))), list(widths)
    name = next(at for at in kept if columns[at].title == "name")
    longest = widths[name]

    def over() -> int:
        return sum(widths[at] + gap for at in kept) - gap - width

    def shorten(least: int) -> None:
        if over() > 0:
            widths[name] = max(widths[name] - over(), min(least, widths[name]))

    shorten(_SHORT_NAME)
    while over() > 0:
        worst = max(kept, key=lambda at: columns[at].rank)
        if columns[worst].rank == 0:
            break
        kept.remove(worst)
    shorten(_SHORTEST_NAME)
    widths[name] = min(longest, widths[name] + max(-over(), 0))  # what gave way left some room
    return kept, widths


def below(shown: Shown, width: int) -> Iterator[str]:
    """Yield the totals, the worst jobs with the change each needs, and the notes."""
    totals = shown.totals
    if totals.jobs_count:
        yield ""
        for line in cells.totals_words(totals, shown.unit):
            yield from wrapped(line, width, "total  ", "       ")
    if shown.worst:
        yield ""
        yield f"worst by waste ({len(shown.worst)} of {totals.jobs_count:,}):"
        for job, hours in shown.worst:
            waste = cells.waste_words(hours, shown.unit)
            name = cut(clean(job.name or UNKNOWN), _LONGEST_NAME)
            yield from wrapped(f"{clean(job.id)}  {name}  {waste}", width, "  ", "    ")
            change = change_for(job, hours)
            if change:
                yield from wrapped(change, width, "    ", "    ")
    notes = [*_mark_notes(totals.sources), *shown.notes]
    if notes:
        yield ""
        for note in notes:
            yield from wrapped(note, width, "", "  ")


def _mark_notes(sources: dict[Source, int]) -> list[str]:
    return [f"{mark} {words}" for source, (mark, words) in cells.MARKS.items() if source in sources]


def wrapped(line: str, width: int, first: str, later: str) -> list[str]:
    """Return a line in rows of a width, with these beginnings."""
    return textwrap.wrap(
        line,
        max(width, 20),
        initial_indent=first,
        subsequent_indent=later,
        break_on_hyphens=False,
    ) or [first]
