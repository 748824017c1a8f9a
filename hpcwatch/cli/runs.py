"""`hpcwatch runs`: list, find and remove what was recorded."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cli import removal
from hpcwatch.cli.arguments import DAY_S, Parser, age_s, since_s
from hpcwatch.recording.lookup import find, require_readable_root
from hpcwatch.recording.search import Found, Wanted, all_runs, found_at, older_than
from hpcwatch.recording.store import RunDirectory, root
from hpcwatch.sweep import recorded
from hpcwatch.sweep.recorded import Sweep, Task
from hpcwatch.views.jobs import runs_rows, runs_table
from hpcwatch.views.jobs.runs_rows import Row

_KINDS = ("run", "job", recorded.KIND, "sweep-task")
_CONFIGURED = "configured"
_MOST_ODD = 5


def main(arguments: list[str]) -> int:
    """List the requested runs, or remove them."""
    options = _parser().parse_args(arguments)
    is_reading = options.delete is None and options.prune is None
    settings = config.load_to_read() if is_reading else config.load()
    if options.delete is not None:
        chosen = [_named(which) for which in options.delete]
        return removal.remove(list(dict.fromkeys(chosen)), options.yes, is_named=True)
    found = _found(options)
    if not found:
        require_readable_root()
    if options.prune is not None:
        if options.sweep is not None or options.kind == "sweep-task":
            hint = "say --kind sweep, or: hpcwatch runs --delete SWEEP"
            raise HpcwatchError("a sweep's tasks are removed with their sweep", hint, EXIT_USAGE)
        old = older_than(found, _prune_s(options.prune, settings.keep_days))
        return removal.remove(old, options.yes, is_named=False)
    rows = runs_rows.sorted_rows(runs_rows.of_list(found), options.sort, options.reverse)
    if options.format == "json":
        print(json.dumps(_plain(rows), indent=1, ensure_ascii=True))
        return 0
    if options.format == "csv":
        print("\n".join(runs_table.csv_lines(rows)))
        return 0
    _print(rows, settings.keep_days)
    if options.sweep is not None:
        _say_unrecorded(options.sweep, len({one.attempt.started.task for one in _tasks(found)}))
    return 0


def _named(which: str) -> Found | Sweep:
    """Return the run or sweep of that name. Raises HpcwatchError."""
    try:
        directory = find(which)
    except HpcwatchError:
        sweep = recorded.called(which)
        if sweep is None:
            raise
        return sweep
    run = directory.read_run()
    return found_at(directory) if run.sweep_id is None else _task_at(directory.path, run.sweep_id)


def _task_at(path: str, sweep_id: str) -> Found:
    """Return a task of a sweep; as a plain run if its sweep is gone."""
    sweep = recorded.called(sweep_id)
    tasks = sweep.tasks() if sweep is not None else []
    same = [one for one in tasks if os.path.realpath(one.directory.path) == os.path.realpath(path)]
    return same[0] if same else found_at(RunDirectory(path))


def _found(options: argparse.Namespace) -> list[Found | Sweep]:
    """Return the requested runs and sweeps, or the tasks of a sweep, the latest last."""
    wanted = _wanted(options)
    if options.sweep is not None:
        sweep = recorded.called(options.sweep)
        if sweep is None:
            raise HpcwatchError(f"no sweep {options.sweep}", "see: hpcwatch runs --kind sweep")
        return [one for one in sweep.tasks() if one.fits(wanted)]
    odd: list[str] = []
    every = recorded.every(odd.append)
    runs = all_runs(odd.append)
    _say_odd(odd)
    found: list[Found | Sweep] = [*runs, *every]
    if options.kind == "sweep-task":
        found += [task for sweep in every for task in sweep.tasks()]
    return sorted((one for one in found if one.fits(wanted)), key=_started_at_s)


def _say_odd(lines: Sequence[str]) -> None:
    """Report what the list leaves out: damaged recordings, other versions' and other users'."""
    for line in lines[:_MOST_ODD]:
        complain(f"hpcwatch: {clean(line)}")
    if len(lines) > _MOST_ODD:
        complain(f"hpcwatch: {len(lines) - _MOST_ODD} more cannot be listed")


def _started_at_s(one: Found | Sweep) -> float:
    return one.started_at_s if isinstance(one, Sweep) else one.run.started_at_s


def _tasks(found: Sequence[Found | Sweep]) -> list[Task]:
    return [one for one in found if isinstance(one, Task)]


def _say_unrecorded(which: str, shown_count: int) -> None:
    sweep = recorded.called(which)
    if sweep is not None and shown_count < sweep.plan.tasks_count:
        print(
            f"{shown_count} of {sweep.plan.tasks_count} tasks; the others do not match, have not "
            f"run, or were too short to be recorded. The table of all: hpcwatch sweep show "
            f"{clean(sweep.plan.id)}"
        )


def _parser() -> Parser:
    parser = Parser(
        prog="hpcwatch runs",
        description="List the recorded runs and sweeps, the latest last, or remove some.",
    )
    parser.add_argument(
        "--name", metavar="GLOB", help="only runs whose name matches, such as 'train*'"
    )
    parser.add_argument("--job", metavar="ID", help="only recordings of this job")
    parser.add_argument(
        "--since", type=since_s, metavar="T", help="only runs started since then: 7d, 2026-11-01"
    )
    parser.add_argument("--failed", action="store_true", help="only runs that failed")
    parser.add_argument("--with-findings", action="store_true", help="only runs with findings")
    parser.add_argument("--kind", choices=_KINDS, help="only runs of one kind")
    parser.add_argument("--sweep", metavar="SWEEP", help="the tasks of a sweep, a line per task")
    parser.add_argument(
        "--sort",
        choices=tuple(runs_rows.SORTS),
        default="started",
        help="what to sort by, the largest last (default: %(default)s)",
    )
    parser.add_argument("-r", "--reverse", action="store_true", help="sort the other way round")
    parser.add_format("text", "json", "csv")
    parser.add_argument("--delete", nargs="+", metavar="RUN", help="remove these runs or sweeps")
    parser.add_argument(
        "--prune",
        nargs="?",
        const=_CONFIGURED,
        metavar="AGE",
        help="remove runs older than 30d, 12h or 2w (default: storage.keep_days of the"
        " configuration); the filters above choose among them",
    )
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    return parser


def _wanted(options: argparse.Namespace) -> Wanted:
    return Wanted(
        name=options.name,
        job=options.job,
        since_s=options.since,
        is_failed=options.failed,
        has_findings=options.with_findings,
        kind=options.kind,
    )


def _prune_s(text: str, keep_days: float | None) -> float:
    """Return the age from which runs are removed, in s. Raises HpcwatchError if none is given."""
    if text == _CONFIGURED:
        if keep_days is None:
            hint = "say --prune 30d, or set storage.keep_days"
            raise HpcwatchError("--prune lacks an age", hint, EXIT_USAGE)
        return keep_days * DAY_S
    try:
        return age_s(text)
    except argparse.ArgumentTypeError as error:
        raise HpcwatchError(f"argument --prune: {error}", "", EXIT_USAGE) from None


def _print(rows: Sequence[Row], keep_days: float | None) -> None:
    if not rows:
        if all_runs() or recorded.every():
            print("No run matches; list all with: hpcwatch runs")
        else:
            print(f"No runs in {clean(root())} yet; record one with: hpcwatch run -- COMMAND")
        return
    for line in runs_table.lines(rows, runs_table.width_of_terminal(sys.stdout)):
        print(line)
    old = older_than([row.one for row in rows], keep_days * DAY_S) if keep_days is not None else []
    if old:
        named = "1 is" if len(old) == 1 else f"{len(old)} are"
        print(f"{named} older than {keep_days:g} days; remove with: hpcwatch runs --prune")


def _plain(rows: Sequence[Row]) -> dict[str, object]:
    """Return the documented structure, version 1."""
    return {
        "schema_version": 1,
        "root": root(),
        "runs": [runs_rows.plain_run(row) for row in rows if isinstance(row.one, Found)],
        "sweeps": [runs_rows.plain_sweep(row) for row in rows if isinstance(row.one, Sweep)],
    }
