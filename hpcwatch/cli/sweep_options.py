"""The options of `hpcwatch sweep`, checked."""

from __future__ import annotations

import argparse
import math
import os
import random
import shlex
import time
from typing import NamedTuple

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli import notify_options
from hpcwatch.cli.arguments import Parser
from hpcwatch.recording import store
from hpcwatch.sweep import best, combinations, estimate, folders, slots, template, values
from hpcwatch.sweep.attempts import Attempts, verdict
from hpcwatch.sweep.plan import Plan, Task, read_tasks, tasks_of

_MOST_RETRIES = 100
_MOST_AT_ONCE = 1_000_000
_SCHEDULER_OPTIONS = "--scheduler-options"


class Wanted(NamedTuple):
    """A new plan and its tasks, not yet on disk."""

    plan: Plan
    tasks: list[Task]


def parser() -> Parser:
    """Return the parser of everything before ``--``."""
    made = Parser(
        prog="hpcwatch sweep",
        usage="hpcwatch sweep -p NAME=VALUES ... [options] -- COMMAND with {NAME} ...",
        description="Run a command with every combination of parameters on the job's nodes, each"
        " run measured. GNU parallel hands the tasks out; it asks to be cited where it helped"
        " (parallel --citation). With --engine array the scheduler does, as a job array. `hpcwatch"
        " sweep show [NAME]` shows a sweep as it is now.",
    )
    _add_what(made)
    _add_where(made)
    _add_array(made)
    add_results(made)
    notify_options.add_notify(made)
    made.add_argument(
        "--from-joblog", metavar="FILE", help="show a plain GNU parallel run from its --joblog"
    )
    made.add_argument("command", nargs="*", help=argparse.SUPPRESS)
    return made


def add_results(made: Parser) -> None:
    """Add the options about the table of results."""
    made.add_argument(
        "--format",
        choices=("text", "json", "csv", "html"),
        default="text",
        help="the output format (default: %(default)s)",
    )
    made.add_argument(
        "-o", "--output", metavar="FILE", help="write to FILE instead of standard output"
    )
    made.add_argument("--sort", metavar="NAME", help="order the table by a result or parameter")
    made.add_argument("--best", metavar="NAME", help="result to rank by: min:loss, max:f1")
    made.add_colour()


def _add_array(made: Parser) -> None:
    add = made.add_argument
    add(
        "--engine",
        choices=("parallel", "array"),
        help="what hands the tasks out: GNU parallel on the job's nodes (the default), or the "
        "scheduler as a job array, for sweeps beyond one job",
    )
    add(
        _SCHEDULER_OPTIONS,
        action="append",
        metavar="OPTIONS",
        help="with --engine array: options of sbatch or qsub for one element of the array, in "
        "quotes: '-p gpu -t 1:00:00 -c 4'",
    )
    add(
        "--tasks-per-element",
        type=int,
        metavar="K",
        help="with --engine array: tasks that each element runs, one after the other (default 1, "
        "or more where the scheduler's arrays are too small)",
    )
    add(
        "--at-once",
        type=int,
        metavar="N",
        help="with --engine array: the most elements that run at the same time",
    )
    add(
        "--wait",
        action="store_true",
        help="with --engine array: stay until all is done, then show the results",
    )


def _add_what(made: Parser) -> None:
    add = made.add_argument
    add(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="1,2,3 or 1..9:2 or lin:0..1:5 or log:1e-4..1e-1:4",
    )
    add("--table", metavar="FILE", help="CSV with a row per combination; - is standard input")
    add("--random", type=int, metavar="N", help="draw N combinations at random")
    add(
        "--seed",
        type=int,
        metavar="S",
        help="seed of --random, to draw the same combinations again",
    )
    add("--name", help="a name for the sweep (default: the program's)")
    add(
        "--order",
        choices=("given", "longest-first"),
        default="given",
        help="longest-first: by the durations in the latest sweep of the command, else by "
        "the numbers in its parameters",
    )


def _add_where(made: Parser) -> None:
    add = made.add_argument
    add(
        "--slots",
        default="1",
        metavar="1|per-gpu|per-core:N",
        help="tasks at a time on each host (default 1); per-gpu gives each task a GPU of its "
        "own, per-core:N gives it N cores",
    )
    add(
        "--hosts",
        action="append",
        default=[],
        metavar="HOSTS",
        help="qb[001-003] (default: the job's)",
    )
    add(
        "--retries",
        type=int,
        default=0,
        metavar="N",
        help="retry failed tasks up to N times, on another host",
    )
    add("--timeout", type=_seconds, metavar="S", help="end a task after that many seconds")
    made.add_interval()
    add("--resume", action="store_true", help="run the missing tasks of the latest sweep")
    add(
        "--resume-failed",
        action="store_true",
        help="like --resume, and rerun failed tasks",
    )
    add(
        "--rerun-unknown",
        action="store_true",
        help="like --resume, and rerun tasks that were started but whose end is unknown "
        "(their host died)",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def parse(arguments: list[str]) -> argparse.Namespace:
    """Split our options from the command and check what needs no file. Raises HpcwatchError."""
    where = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser().parse_args(_with_equals(arguments[:where]))
    if options.command:
        hint = f"put -- before the command: hpcwatch sweep … -- {' '.join(options.command)[:60]}"
        raise HpcwatchError(f"unexpected {options.command[0]!r}", hint, EXIT_USAGE)
    options.command = arguments[where + 1 :]
    if not 0 <= options.retries <= _MOST_RETRIES:
        raise HpcwatchError(f"--retries {options.retries}", f"0 to {_MOST_RETRIES}", EXIT_USAGE)
    if options.seed is not None and options.random is None:
        raise HpcwatchError("--seed is for --random", "say --random N, too", EXIT_USAGE)
    slots.parse(options.slots)
    if options.best is not None:
        best.parse(options.best)
    return options


def _with_equals(words: list[str]) -> list[str]:
    """Join the scheduler's options to the name before them: argparse takes ``-x`` for our own."""
    found: list[str] = []
    for word in words:
        if found and found[-1] == _SCHEDULER_OPTIONS:
            found[-1] = f"{_SCHEDULER_OPTIONS}={word}"
        else:
            found.append(word)
    return found


def check_engine(options: argparse.Namespace) -> None:
    """Raise HpcwatchError if an option does not go with the engine, which has been decided."""
    if options.engine == "parallel":
        for name in ("scheduler_options", "tasks_per_element", "at_once", "wait"):
            if getattr(options, name):
                flag = f"--{name.replace('_', '-')}"
                raise HpcwatchError(f"{flag} is for --engine array", "say that, too", EXIT_USAGE)
    if options.engine == "array" and (options.hosts or options.slots != "1"):
        flag = "--hosts" if options.hosts else "--slots"
        hint = "an element runs one task at a time: say what it needs with --scheduler-options"
        raise HpcwatchError(f"{flag} is for --engine parallel", hint, EXIT_USAGE)
    for name, most in (("tasks_per_element", combinations.MOST_TASKS), ("at_once", _MOST_AT_ONCE)):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= most:
            flag = f"--{name.replace('_', '-')}"
            raise HpcwatchError(f"{flag} {value}", f"give 1 to {most:,}", EXIT_USAGE)


def scheduler_words(options: argparse.Namespace) -> list[str] | None:
    """Return the scheduler's options, split as a shell does; None if none are given.

    Raises HpcwatchError.
    """
    if options.scheduler_options is None:
        return None
    try:
        return [word for text in options.scheduler_options for word in shlex.split(text)]
    except ValueError as error:
        hint = "close the quotes"
        raise HpcwatchError(f"--scheduler-options: {error}", hint, EXIT_USAGE) from None


def wanted(options: argparse.Namespace, seed: int | None = None) -> Wanted:
    """Return the plan and tasks that the options describe. Raises HpcwatchError.

    ``seed`` is the seed of the sweep to resume, used unless --seed is given.
    """
    parameters = [values.parse(text) for text in options.parameter]
    seed = options.seed if options.seed is not None else seed
    if seed is None and options.random is not None:
        seed = random.SystemRandom().randrange(1 << 31)
    found = _combinations(options, parameters, seed)
    names = list(found[0])
    template.check(options.command, names, [parameter.name for parameter in parameters])
    name = options.name or _name_of(options.command)
    if options.order == "longest-first":
        found = estimate.longest_first(found, _earlier(options.command))
    now_s = time.time()
    plan = Plan(
        id=store.new_id(name, now_s),
        name=name,
        command=options.command,
        parameters=names,
        cwd=os.getcwd(),
        slots=options.slots,
        retries_count=options.retries,
        timeout_s=options.timeout,
        interval_s=options.interval,
        seed=seed,
        order=options.order,
        tasks_count=len(found),
        made_at_s=now_s,
    )
    return Wanted(plan, tasks_of(options.command, found))


def _combinations(
    options: argparse.Namespace, parameters: list[values.Parameter], seed: int | None
) -> list[combinations.Combination]:
    if options.table is not None:
        if options.random is not None:
            raise HpcwatchError("--random does not go with --table", "give one", EXIT_USAGE)
        return combinations.times(combinations.table(options.table), parameters)
    if not parameters:
        hint = "say: hpcwatch sweep -p layers=1,2,3 -- python train.py {layers}"
        raise HpcwatchError("no parameters", hint, EXIT_USAGE)
    if options.random is not None:
        assert seed is not None
        return combinations.drawn(parameters, options.random, seed)
    return combinations.grid(parameters)


def _earlier(command: list[str]) -> estimate.Durations:
    """Return the durations of the latest sweep of the same command."""
    for found in reversed(folders.every()):
        if found.plan.command != command:
            continue
        known = Attempts(found.folder).all()
        done = []
        for task in read_tasks(found.folder):
            last = verdict(known.get(task.number, []))
            if last is not None and last.ended is not None and last.ended.is_good:
                done.append(estimate.Done(task.parameters, last.ended.wall_s))
        return estimate.Durations(done)
    return estimate.Durations([])


def _name_of(command: list[str]) -> str:
    from hpcwatch.monitor.run_record import program_name

    return program_name(command)
