"""`hpcwatch sweep --engine array`: the scheduler hands the tasks out, as one job array."""

from __future__ import annotations

import argparse
import shlex
import signal
import time

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.base.output import complain
from hpcwatch.cli import sweep_begin, sweep_end, sweep_options
from hpcwatch.cli.sweep_now import look
from hpcwatch.cli.sweep_show import Show, print_outcome
from hpcwatch.sweep import array, array_submit, folders, plan, recorded
from hpcwatch.sweep.array import Submission
from hpcwatch.sweep.array_state import Asking, State, explained, is_quiet
from hpcwatch.sweep.array_submit import UncertainError, Wish
from hpcwatch.sweep.attempts import Attempts, Started, is_done, is_unknown
from hpcwatch.sweep.on_disk import Follower
from hpcwatch.sweep.picture import Picture
from hpcwatch.views.sweep.words import many

_LOOK_S = 5.0
_QUIET_S, _UNLISTED_S = 10.0, 65.0
"""How long nothing may run before the array is over: longer while the scheduler does not list it,
which may be a moment after it has accepted it."""
_STOPPING_S = 45.0  # SIGTERM, SIGKILL, and the lease's last renewal


def run(
    before: folders.Found | None, options: argparse.Namespace, thresholds: config.Thresholds
) -> int:
    """Submit a new sweep's tasks, or those of an earlier one that are not done."""
    asking = Asking(config.load().scheduler)
    inquiry = asking.require()
    wish = _wish(options, before)
    array_submit.check(array_submit.arrays_of(inquiry.scheduler.name), wish)
    found = before or sweep_begin.created(options)
    try:
        with folders.driving(found.folder):
            if before is not None:
                settle(found, asking)
                sweep_begin.clear_up(found, options)
            numbers = _due(found)
            if numbers:
                made = array_submit.submit(found, numbers, wish, inquiry, asking.asker)
    except UncertainError:
        raise
    except HpcwatchError:
        if before is None:  # nothing was submitted: nothing is left to go on with
            recorded.discard(found)
        raise
    if numbers:
        _say_submitted(found, made, wish)
    if options.wait or not numbers:
        return _wait(found, options, thresholds, asking)
    print(made.job_id)
    return 0


def _wish(options: argparse.Namespace, before: folders.Found | None) -> Wish:
    """Return what the user says of the array; what is not said is as in the last submission."""
    words = sweep_options.scheduler_words(options)
    wish = Wish(words or [], options.tasks_per_element, options.at_once)
    earlier = array.every(before.folder) if before is not None else []
    if not earlier:
        return wish
    last = earlier[-1]
    return Wish(
        last.options if words is None else words,
        wish.tasks_per_element or last.tasks_per_element,
        wish.at_once or last.at_once,
    )


def _due(found: folders.Found) -> list[int]:
    """Return the numbers of the tasks that are not done, and not of an unknown end."""
    known = Attempts(found.folder).all()
    due = []
    for number in range(1, found.plan.tasks_count + 1):
        some = known.get(number, [])
        if not is_done(some) and not is_unknown(some):
            due.append(number)
    return due


def settle(found: folders.Found, asking: Asking | None = None) -> None:
    """Make sure that no job array of the sweep is active; mark what such a one left undone.

    Raises HpcwatchError if one waits or runs.
    """
    asking = asking or Asking(config.load().scheduler)
    attempts = Attempts(found.folder)
    known = attempts.all()
    states = asking.states(found.folder, known)
    for state in states:
        if state.is_active:
            which = shlex.quote(state.submission.job_id or "")
            hint = f"wait for its end, or cancel it: hpcwatch cancel {which}"
            raise HpcwatchError(f"the sweep is in the queue: {state.words}", hint, EXIT_USAGE)
        if state.trouble:
            complain(f"hpcwatch: {clean(state.words)}; no task that runs is started again")
    ran = [one.started for some in known.values() for one in some if one.ended is None]
    _await_quiet(found, attempts, [one for one in ran if one.submission is not None])
    now_s = folders.now_s(found.folder)
    try:
        for task in [task for task, some in known.items() if not is_done(some)]:
            for state in states:
                for ended in explained(state, attempts, attempts.of(task), now_s):
                    attempts.end(ended)
    except OSError as error:
        raise HpcwatchError(f"cannot write in {found.folder}", os_reason(error)) from None


def _await_quiet(found: folders.Found, attempts: Attempts, running: list[Started]) -> None:
    """Wait until the attempts have ended, or their monitors are gone. Raises HpcwatchError."""
    deadline = time.monotonic() + _STOPPING_S
    is_said = False
    while True:
        now_s = folders.now_s(found.folder)
        running = [
            one
            for one in running
            if attempts.ended(one.task, one.attempt) is None and not is_quiet(attempts, one, now_s)
        ]
        if not running:
            return
        what = f"task {running[0].task} still runs on {running[0].host}"
        if time.monotonic() > deadline:
            raise HpcwatchError(what, "wait for its end, or cancel its job", EXIT_USAGE)
        if not is_said:
            complain(f"hpcwatch: {clean(what)}: waiting for its end")
            is_said = True
        time.sleep(1.0)


def _say_submitted(found: folders.Found, made: Submission, wish: Wish) -> None:
    job_id = shlex.quote(clean(made.job_id or ""))  # 5[].qb3 is a pattern to some shells
    each = made.tasks_per_element
    words = f"submitted {many(len(made.numbers), 'task')} as array {job_id}"
    if each > 1:
        words += f": {many(made.elements_count, 'element')} of up to {many(each, 'task')}"
    complain(f"hpcwatch: {words}")
    if each > 1 and wish.tasks_per_element is None:
        complain("hpcwatch: this scheduler takes no larger array: each element runs several tasks")
    sweep = clean(found.plan.id)
    complain(f"Watch it:  hpcwatch sweep show {sweep}, or: hpcwatch job {job_id}")
    complain(f"Cancel it: hpcwatch cancel {job_id}")
    complain(f"Kept in {clean(found.folder)}")


def _wait(
    found: folders.Found,
    options: argparse.Namespace,
    thresholds: config.Thresholds,
    asking: Asking,
) -> int:
    """Follow a sweep until its array is over; then print the results."""
    follower = Follower(found, plan.read_tasks(found.folder))
    show = Show(options, found.folder, None, thresholds, None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        picture, states = _followed(found, follower, show, asking)
    except KeyboardInterrupt:
        show.close()
        complain("hpcwatch: no longer waiting; the array goes on")
        return 128 + signal.SIGINT
    finally:
        show.close()
        signal.signal(signal.SIGINT, before)
    print_outcome(show.outcome(picture), options, thresholds)
    sweep_end.say_now(picture, states)
    recorded.summarize(found)
    return sweep_end.exit_code(picture, 0)


def _followed(
    found: folders.Found, follower: Follower, show: Show, asking: Asking
) -> tuple[Picture, list[State]]:
    """Show a sweep until nothing of its array waits or runs."""
    show.begin(follower.picture())
    number = array.next_number(found.folder) - 1
    quiet_since = time.monotonic()
    while True:
        picture, states = look(found, follower, asking)
        show.changed(picture)
        # An earlier array is over, or there will never be an answer about it.
        latest = [one for one in states if one.submission.number == number]
        if not latest and not picture.running():
            return picture, states
        is_alive = any(one.is_active or one.trouble for one in latest)
        if is_alive or picture.running():
            quiet_since = time.monotonic()
        patience_s = _QUIET_S if all(one.counts for one in latest) else _UNLISTED_S
        if time.monotonic() - quiet_since > patience_s:
            return picture, states
        time.sleep(_LOOK_S)
