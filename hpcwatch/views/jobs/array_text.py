"""An array as text: a table of its tasks, and what they have in common. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpcwatch.analysis.array_tasks import ArraySummary, ArrayTask, Spread, summary_of
from hpcwatch.analysis.history_arrays import far_out
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_bytes, format_clock
from hpcwatch.cluster.schedulers.arrays import counted
from hpcwatch.views.jobs import cells, history_array_text
from hpcwatch.views.text import cut, wrapped

_MOST_FAILED = 5
_MOST_ROWS = 60
_TITLES = ("task", "state", "ran", "memory")


def text(title: str, tasks: Sequence[ArrayTask], width: int, caveat: str = "") -> str:
    """Return a table of the tasks and their summary, no line wider than ``width``.

    ``caveat`` is what is to be said of accounted memory.
    """
    shown = _shown(tasks)
    rows = [
        (
            clean(task.job.id),
            cells.state(task.job),
            format_clock(task.ran_s),
            format_bytes(task.memory_bytes),
        )
        for task in shown
    ]
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows)]
    made = [f"array {clean(title)}: {_counts(tasks)}", "", _row(_TITLES, widths, "how it ended")]
    for row, task in zip(rows, shown):
        made.append(_row(row, widths, clean(task.exit_words)))
    if len(shown) < len(tasks):
        made.append(f"and {len(tasks) - len(shown):,} more")
    summary = summary_of(tasks)
    planned = history_array_text.lines(tasks)
    if planned:  # it says more than the one sentence
        summary = summary._replace(suggestion="")
    below = [*summary_lines(summary, len(tasks)), *planned]
    made += ["", *below] if below else []
    made += ["", *wrapped(caveat, max(width, 20))] if caveat else []
    return "".join(cut(line, width).rstrip() + "\n" for line in made)


def _shown(tasks: Sequence[ArrayTask]) -> Sequence[ArrayTask]:
    """Return the tasks that get a row: all of a small array, of a large one first those to look at.

    These are the ones that failed or are far out.
    """
    if len(tasks) <= _MOST_ROWS:
        return tasks
    odd = {task.job.id for task, _ in far_out(tasks)}
    odd |= {task.job.id for task in tasks if task.is_failed}
    first = [task for task in tasks if task.job.id in odd][:_MOST_ROWS]
    left = _MOST_ROWS - len(first)
    others = [task for task in tasks if task.job.id not in odd][:left]
    kept = {id(task) for task in (*first, *others)}
    return [task for task in tasks if id(task) in kept]


def summary_lines(summary: ArraySummary, count: int) -> list[str]:
    """Return what the tasks have in common, a line each; none where nothing is known."""
    made = [
        *_spread_line("memory", summary.memory, count, format_bytes),
        *_spread_line("time", summary.time, count, format_clock),
    ]
    if summary.failed:
        named = ", ".join(
            clean(task.job.id) + (f" ({clean(task.exit_words)})" if task.exit_words else "")
            for task in summary.failed[:_MOST_FAILED]
        )
        more = len(summary.failed) - _MOST_FAILED
        made.append(f"failed    {named}" + (f" and {more} more" if more > 0 else ""))
    return [*made, summary.suggestion] if summary.suggestion else made


def _spread_line(
    name: str, spread: Spread | None, count: int, words: Callable[[float], str]
) -> list[str]:
    if spread is None:
        return []
    least, middle, most = map(words, spread[:3])
    known = "" if spread.known_count == count else f" (known of {spread.known_count} of {count})"
    if spread.quartiles is not None:
        lower, upper, p95 = map(words, spread.quartiles)
        said = f"25 % {lower}, median {middle}, 75 % {upper}, 95 % {p95}"
        return [f"{name:8}  min {least}, {said}, max {most}{known}"]
    return [f"{name:8}  min {least}, median {middle}, max {most}{known}"]


def _counts(tasks: Sequence[ArrayTask]) -> str:
    found = counted([task.job for task in tasks])
    return ", ".join(f"{many} {state.value}" for state, many in found.items())


def _row(row: Sequence[str], widths: Sequence[int], last: str) -> str:
    task, state, *figures = row
    texts = [task.ljust(widths[0]), state.ljust(widths[1])]
    texts += [figure.rjust(width) for figure, width in zip(figures, widths[2:])]
    return "  ".join([*texts, last])
