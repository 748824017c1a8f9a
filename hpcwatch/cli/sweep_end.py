"""Ends `hpcwatch sweep`: what is left to be done, how to go on, and the exit code."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE
from hpcwatch.base.output import complain
from hpcwatch.sweep import folders
from hpcwatch.sweep.array_state import State
from hpcwatch.sweep.attempts import is_unknown
from hpcwatch.sweep.picture import Picture

_MOST_LISTED = 10


def tries_count(picture: Picture) -> int:
    """Return how many tries of all tasks have begun."""
    return sum(map(len, picture.attempts.values()))


def say(picture: Picture, number: int, before_count: int) -> None:
    """Say what a driver leaves to be done; ``number`` is the signal that ended it, or 0.

    ``before_count`` is how many tries had begun before it.
    """
    left = _left_count(picture)
    if not left and tries_count(picture) == before_count:
        complain("hpcwatch: nothing was run: no task is missing")
    if left:
        why = f"ended by {signal.Signals(number).name}" if number else "not all could run"
        complain(f"hpcwatch: {why}; {left} of {len(picture.tasks)} tasks are not done yet")
        _say_how_to_go_on(picture)
    _say_unknown(picture)
    complain(f"Kept in {clean(picture.folder)}")


def say_now(picture: Picture, states: Sequence[State]) -> None:
    """Say what a sweep that others run has left, and what its job arrays do about it."""
    for state in states:
        complain(f"hpcwatch: {clean(state.words)}")
    _say_causes(picture, states)
    running = len(picture.running())
    left = _left_count(picture) - running
    driver = folders.driver_of(picture.folder)
    if driver is not None:
        complain(f"hpcwatch: it is running on {clean(driver)}")
    is_active = driver is not None or any(state.is_active for state in states)
    if left and not is_active and not running:
        complain(f"hpcwatch: {left} of {len(picture.tasks)} tasks are not done yet")
        _say_how_to_go_on(picture)
    _say_unknown(picture)
    complain(f"Kept in {clean(picture.folder)}")


def _left_count(picture: Picture) -> int:
    unknown = sum(map(is_unknown, picture.attempts.values())) - len(picture.running())
    return len(picture.tasks) - len(picture.counting()) - unknown


def _say_how_to_go_on(picture: Picture) -> None:
    complain(f"Go on with: hpcwatch sweep --resume --name {clean(picture.plan.id)}")


def _say_unknown(picture: Picture) -> None:
    running = {one.task for one in picture.running()}
    attempts = picture.attempts.items()
    unknown = [str(one) for one, some in attempts if is_unknown(some) and one not in running]
    if unknown:
        complain(
            f"hpcwatch: {_listed(unknown)} ended in an unknown way: --resume does not "
            f"run that again, --rerun-unknown does"
        )


def _say_causes(picture: Picture, states: Sequence[State]) -> None:
    """Say which tasks an array's elements left undone, and why those ended."""
    causes: dict[str, list[int]] = {}
    for state in states:
        for task, element in state.submission.element_of().items():
            job = state.elements.get(element)
            if job is not None and job.state.is_over and task not in picture.attempts:
                causes.setdefault(f"not started ({state.how(element)})", []).append(task)
    for task, some in picture.attempts.items():
        last = some[-1].ended
        if last is not None and last.is_stopped and last.trouble:
            causes.setdefault(f"stopped ({last.trouble})", []).append(task)
    for words, tasks in causes.items():
        verb = "was" if len(tasks) == 1 else "were"
        complain(
            f"hpcwatch: {_listed([str(task) for task in sorted(tasks)])} {verb} {clean(words)}"
        )


def _listed(tasks: list[str]) -> str:
    more = f" and {len(tasks) - _MOST_LISTED} more" if len(tasks) > _MOST_LISTED else ""
    return f"task {', '.join(tasks[:_MOST_LISTED])}{more}"


def exit_code(picture: Picture, number: int) -> int:
    """Return 0 if every task ended well; ``number`` is the signal that ended the sweep, or 0."""
    if number:
        return 128 + number
    counting = picture.counting()
    is_good = len(counting) == len(picture.tasks) and all(
        one.ended is not None and one.ended.is_good for one in counting.values()
    )
    return 0 if is_good else EXIT_FAILURE
