"""The program of a sweep's task: started in its directory, watched, ended in time."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from typing import NamedTuple

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.launch.early_files import open_in_memory
from hpcwatch.monitor.guard import Guard
from hpcwatch.sweep import accounts, ending
from hpcwatch.sweep.attempts import Attempts, Ended, Started
from hpcwatch.sweep.ending import Ending
from hpcwatch.sweep.keeper import STOPS, Keeper
from hpcwatch.sweep.lease import Lease
from hpcwatch.sweep.plan import Plan, Task
from hpcwatch.sweep.slots import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.launch.program import Program
    from hpcwatch.monitor import RunOptions
    from hpcwatch.monitor.guard import Monitor
    from hpcwatch.recording.store import Event

EXIT_NOT_STARTED = 125
UNWATCHED_S = 0.25
"""For a shorter task there is only the kernel's accounting."""


class Work(NamedTuple):
    """A task with its sweep and attempt."""

    plan: Plan
    task: Task
    attempts: Attempts
    channel: int
    """Our starter reads it: as long as it has a reader, the sweep goes on."""


def run(
    work: Work,
    started: Started,
    slot: Slot,
    variables: dict[str, str],
    keeper: Keeper,
    lease: Lease,
) -> Ended:
    """Run the program to its end."""
    try:
        program = _start(work, started, slot, variables)
    except (HpcwatchError, OSError) as error:
        words = error.message if isinstance(error, HpcwatchError) else os_reason(error)
        return Ended(
            started.task, started.attempt, time.time(), 0.0, EXIT_NOT_STARTED, None, trouble=words
        )
    program.settle()
    keeper.program_started(program.pid)
    end = Ending(program.pid, program.own_children)
    guard(work, end, started._replace(at_s=program.started_s), lease)
    if keeper.is_told:
        end.begin("stopped")
    watch = _watched(_options(work, started), program)
    for number in program.wait(_nothing, _nothing):
        if number in STOPS:
            end.begin("stopped", is_told=number == signal.SIGTERM)
        watch.signal_arrived(number)
    assert program.exit_status is not None
    keeper.program_ended(program.exit_status, end.reason)
    is_cut_off = bool(program.exit_status) and not end.reason
    if is_cut_off and (end.came_late or ending.is_wanted_now(work.channel, STOPS)):
        end.reason = "stopped"
    if end.reason:
        end.finish()
    program.end(leave=_nothing)
    if watch.is_begun:  # the monitor's end takes a while: the program's end is written before
        work.attempts.end(accounts.of_program(work.attempts, started, program, end.reason, []))
    watch.finish()
    unrecorded = [] if watch.monitor is not None else _events_of(program)
    return accounts.of_program(work.attempts, started, program, end.reason, unrecorded)


def guard(work: Work, end: Ending, started: Started, lease: Lease) -> None:
    """Make the task end in time, and with the sweep."""
    arguments = (end, work.channel, lease)
    threading.Thread(target=ending.watch, args=arguments, daemon=True).start()
    if work.plan.timeout_s is not None:
        ran_s = max(time.time() - started.at_s, 0.0)
        timer = threading.Timer(work.plan.timeout_s - ran_s, end.begin, ("timeout",))
        timer.daemon = True
        timer.start()


def _start(work: Work, started: Started, slot: Slot, variables: dict[str, str]) -> Program:
    """Start the program in its directory. Raises HpcwatchError or OSError."""
    from hpcwatch.launch.program import CannotStartError, Program

    os.chdir(work.plan.cwd)
    os.environ.clear()
    os.environ.update(variables)
    os.environ[ending.SWEEP_VARIABLE] = work.plan.id
    os.environ[ending.TASK_VARIABLE] = f"{started.task}:{started.attempt}"
    if slot.device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = slot.device
    if slot.cores:
        os.sched_setaffinity(0, slot.cores)
    path = work.attempts.output_file(started.task, started.attempt)
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)
    os.close(null)
    try:
        return Program(work.task.argv)
    except CannotStartError as error:
        raise HpcwatchError(f"cannot run {work.task.argv[0]}: {error}") from None


def _options(work: Work, started: Started) -> RunOptions:
    """Return the options for the monitor of `hpcwatch run`."""
    from hpcwatch.monitor import RunOptions

    options = RunOptions()
    options.name = f"{work.plan.name}-{work.task.number}"
    options.output = work.attempts.run_folder(started.task, started.attempt)
    options.interval = work.plan.interval_s
    options.nodes = "local"
    options.sweep_id, options.parameters = work.plan.id, work.task.parameters
    return options


def _nothing() -> None:
    """Do nothing."""


def _events_of(program: Program) -> list[Event]:
    """Return the events of a program that was not watched."""
    descriptor = program.events_descriptor
    if descriptor is None or not os.fstat(descriptor).st_size:
        return []
    from hpcwatch.monitor.event_file import Marks

    return Marks(descriptor, program.started_s).close(time.time())


def _watched(options: RunOptions, program: Program) -> Guard:
    """Start watching a task's program."""

    def make() -> Monitor:
        gc.enable()
        from hpcwatch.monitor.run import Observer

        return Observer(options, program)

    def peek() -> None:
        program.early_files |= open_in_memory(program.pid)

    return Guard(make, _say, UNWATCHED_S, is_late_too=False, peek=peek)


def _say(message: str) -> None:
    print(f"hpcwatch: {message}", file=sys.stderr, flush=True)
