"""Submits a sweep's tasks as one job array.

The scheduler's command gets an argument list, and the script holds only our own paths and numbers.
So no shell ever sees a value from the user.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.base import files
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import dialect
from hpcwatch.cluster.schedulers.array_jobs import ArrayJobs, Order
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.query import NoAnswerError, NotUnderstoodError
from hpcwatch.recording.store import name_letters
from hpcwatch.sweep import array, engine, node
from hpcwatch.sweep.array import Submission
from hpcwatch.sweep.attempts import Attempts
from hpcwatch.sweep.folders import Found

_OF_A_LIMIT = re.compile(
    r"(?<!--)array|submit\S*\s*limit|job limit|exceed|too (?:large|many)", re.IGNORECASE
)
"""Matches what schedulers say if an array has more elements than a user may submit."""
_SCRIPT = """\
#!/bin/sh
# {what}
# Written by hpcwatch; submitted by: {line}
# Each element runs its share of the tasks; {record} says which.
exec {command} "${{{variable}:-1}}"
"""


class Wish(NamedTuple):
    """The user's options for the array."""

    options: list[str]
    """Options for the scheduler's own command."""
    tasks_per_element: int | None = None
    """None: one, or as many as the scheduler's limit requires."""
    at_once: int | None = None


class UncertainError(HpcwatchError):
    """The scheduler may have accepted the array: its files must not be removed."""


def arrays_of(scheduler: str) -> ArrayJobs:
    """Return a scheduler's job arrays. Raises HpcwatchError if it has none."""
    found = dialect(scheduler).arrays
    if found is None:
        hint = "run the sweep inside of a job, without --engine array"
        raise HpcwatchError(f"hpcwatch submits no job arrays to {scheduler}", hint, EXIT_USAGE)
    return found


def check(arrays: ArrayJobs, wish: Wish) -> None:
    """Raise HpcwatchError if the user's options for the scheduler cannot be used."""
    for word in wish.options:
        if not word.isprintable():
            what = f"--scheduler-options has a control character in {word[:60]!r}"
            raise HpcwatchError(what, "leave it out", EXIT_USAGE)
    trouble = arrays.unfit(wish.options)
    if trouble:
        raise HpcwatchError(f"--scheduler-options: {trouble}", "", EXIT_USAGE)


def chunk(tasks_count: int, wanted: int | None, most: int | None) -> int:
    """Return the number of tasks per element. Raises HpcwatchError if ``wanted`` is too few."""
    least = 1 if not most else -(-tasks_count // most)
    if wanted is not None and wanted < least:
        what = (
            f"--tasks-per-element {wanted}: the scheduler takes arrays of up to {most:,} elements"
        )
        raise HpcwatchError(what, f"give {least} or more, or leave it out", EXIT_USAGE)
    return least if wanted is None else min(wanted, tasks_count)


def most_elements(arrays: ArrayJobs, ask: Asker) -> int | None:
    """Return the largest number of elements that the scheduler accepts; None if unknown."""
    try:
        most: int | None = ask(arrays.most()).value
    except HpcwatchError:
        return None
    return most if most and most > 0 else None


def submit(
    found: Found, numbers: Sequence[int], wish: Wish, inquiry: Inquiry, ask: Asker
) -> Submission:
    """Submit an array of these tasks in one call. Raises HpcwatchError or UncertainError."""
    name = inquiry.scheduler.name
    arrays = arrays_of(name)
    each = chunk(len(numbers), wish.tasks_per_element, most_elements(arrays, ask))
    made = Submission(
        number=array.next_number(found.folder),
        scheduler=name,
        tasks=array.folded(sorted(numbers)),
        tasks_per_element=each,
        options=wish.options,
        at_once=wish.at_once,
        made_at_s=time.time(),
    )
    arguments = arrays.arguments(_order(found, made), wish.options)
    script = array.script_file(found.folder, made.number)
    try:
        Attempts(found.folder).prepare()
        engine.prepare(found.folder)
        node.write_environment(found.folder, os.environ)
        array.write(found.folder, made)
        files.replace(script, _script(found, made, arrays.INDEX_VARIABLE, arguments))
    except OSError as error:
        raise HpcwatchError(f"cannot write in {found.folder}", os_reason(error)) from None
    made = made._replace(job_id=_submitted(inquiry, script, arguments, made))
    try:
        array.write(found.folder, made)
    except OSError as error:
        what = f"submitted as {made.job_id}, but cannot write that in {found.folder}"
        raise UncertainError(what, os_reason(error)) from None
    return made


def _order(found: Found, made: Submission) -> Order:
    return Order(
        elements_count=made.elements_count,
        name=name_letters(found.plan.name),
        output=array.output_stem(found.folder, made.number),
        at_once=made.at_once,
    )


def _submitted(inquiry: Inquiry, script: str, arguments: Sequence[str], made: Submission) -> str:
    try:
        return inquiry.submit(script, arguments)
    except (NoAnswerError, NotUnderstoodError) as error:
        hint = "look at your jobs (hpcwatch jobs) before you submit it again"
        raise UncertainError(f"it may have been submitted: {error.message}", hint) from None
    except HpcwatchError as error:
        hint = error.hint
        if made.elements_count > 1 and _OF_A_LIMIT.search(error.message):
            hint = hint or f"make it smaller: --tasks-per-element {10 * made.tasks_per_element}"
        raise HpcwatchError(error.message, hint) from None


def _script(found: Found, made: Submission, variable: str, arguments: Sequence[str]) -> str:
    """Return the script. Words of the user appear only in comments, each of one line."""
    elements = f"{made.elements_count} elements of up to {made.tasks_per_element} tasks"
    return _SCRIPT.format(
        what=f"{clean(found.plan.id)}, submission {made.number}: {elements}",
        line=clean(shlex.join(arguments)),
        record=f"{made.number}.json",
        command=engine.task_line(found.folder, "--element", str(made.number)),
        variable=variable,
    )
