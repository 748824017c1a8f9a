"""`hpcwatch sweep`: many runs of one command over the job's nodes, each one measured."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Mapping

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.base.output import complain
from hpcwatch.base.units import format_seconds
from hpcwatch.cli import sweep_options
from hpcwatch.cli.sweep_show import Show, print_outcome
from hpcwatch.cluster.current_job import own_job
from hpcwatch.sweep import (
    engine,
    folders,
    hosts,
    joblog,
    node,
    outcome,
    plan,
    recorded,
    resume,
    sharing,
    slots,
    walltime,
)
from hpcwatch.sweep.attempts import Attempts, is_unknown
from hpcwatch.sweep.driver import Driver
from hpcwatch.sweep.picture import Picture

_MOST_LISTED = 10


def main(arguments: list[str]) -> int:
    """Run a sweep, resume one, or show a joblog."""
    options = sweep_options.parse(arguments)
    thresholds = config.load().thresholds
    if options.from_joblog is not None:
        return _from_joblog(options, thresholds)
    engine.require()
    is_resumed = options.resume or options.resume_failed or options.rerun_unknown
    found = _resumed(options) if is_resumed else _created(options)
    try:
        with folders.driving(found.folder):
            return _drive(found, options, thresholds)
    finally:
        recorded.summarize(found)


def _created(options: argparse.Namespace) -> folders.Found:
    made = sweep_options.wanted(options)
    job = own_job()
    wanted = made.plan._replace(job_id=job.id if job is not None else None)
    folder = folders.create(wanted.id)
    plan.write(folder, wanted, made.tasks)
    return folders.Found(folder, wanted)


def _resumed(options: argparse.Namespace) -> folders.Found:
    """Return the sweep to resume. Raises HpcwatchError if the options describe another one."""
    name = options.name
    if name is None and options.command:
        name = sweep_options.wanted(options, 0).plan.name
    found = folders.latest(name)
    if options.command:
        wanted = sweep_options.wanted(options, found.plan.seed)
        tasks = plan.read_tasks(found.folder)
        differs = plan.differences(found.plan, tasks, wanted.plan, wanted.tasks)
        if differs:
            hint = "give the same options, or start a new sweep without --resume"
            raise HpcwatchError(f"sweep {found.plan.id} differs: {differs}", hint, EXIT_USAGE)
    elif options.parameter or options.table or options.random:
        hint = "give the command as well, or only --resume"
        raise HpcwatchError("parameters without a command", hint, EXIT_USAGE)
    return found


def _drive(found: folders.Found, options: argparse.Namespace, thresholds: config.Thresholds) -> int:
    """Run the missing tasks with a live view; then print the results."""
    folder = found.folder
    if options.resume or options.resume_failed or options.rerun_unknown:
        _clear_up(found, options)
    answers, counts = _places(found, options)
    watch = sharing.Watch(folder, answers.values(), own_job() is not None)
    show = Show(options, folder, watch, thresholds, walltime.limit_of(own_job(), time.time()))
    tasks = plan.read_tasks(folder)
    driver = Driver(folder, found.plan, tasks, answers, counts, show.changed)
    with_signals = _Stopper(driver)
    try:
        show.begin(driver.picture())
        picture = driver.run()
    finally:
        show.close()
        with_signals.restore()
        _forget_environment(folder)
    print_outcome(show.outcome(picture), options, thresholds, show.lateness(picture))
    _say_end(picture, with_signals.number)
    return _exit_code(picture, with_signals.number)


def _clear_up(found: folders.Found, options: argparse.Namespace) -> None:
    """End what a dead driver left running, so that nothing runs twice."""
    silent = []
    if os.path.exists(os.path.join(found.folder, node.HOSTS_FILE)):
        node.write_environment(found.folder, os.environ)
        silent = resume.end_orphans(found.folder, node.read_hosts(found.folder))
        for one in silent:
            what = f"what still runs on {one.host} of task {', '.join(map(str, one.tasks))}"
            complain(f"hpcwatch: cannot ask {clean(what)}: {clean(one.trouble)}")
    if options.resume_failed:
        resume.forget_failures(found.folder)
    if options.resume_failed or options.rerun_unknown:
        _begin_unknown_anew(found, [one.host for one in silent])


def _begin_unknown_anew(found: folders.Found, silent: list[str]) -> None:
    if silent:
        wait = f"up to {format_seconds(found.plan.lease_s)}"
        complain(f"hpcwatch: waiting {wait} for tasks that may still run there")
    try:
        resume.begin_unknown_anew(found.folder, found.plan.lease_s, silent)
    except OSError as error:
        raise HpcwatchError(f"cannot write in {found.folder}", os_reason(error)) from None


def _places(
    found: folders.Found, options: argparse.Namespace
) -> tuple[Mapping[str, slots.Host], dict[str, int]]:
    """Query the hosts, report those left out, and count the slots. Raises HpcwatchError."""
    folder = found.folder
    job = own_job()
    spec = slots.parse(found.plan.slots)
    try:
        Attempts(folder).prepare()
        engine.prepare(folder)
        node.write_environment(folder, os.environ)
    except OSError as error:
        raise HpcwatchError(f"cannot write in {folder}", os_reason(error)) from None
    answers = hosts.ask(folder, hosts.logins(options.hosts, job), spec.kind == "gpu", job)
    for line in answers.notes:
        complain(f"hpcwatch: {clean(line)}")
    for name, why in answers.silent.items():
        complain(f"hpcwatch: {name} is left out: {clean(why)}")
    if not answers.hosts:
        raise HpcwatchError("no host can take tasks", "see above")
    node.write_hosts(folder, answers.hosts)
    return answers.hosts, hosts.slots_of(spec, answers.hosts, job)


class _Stopper:
    """Ends the sweep at the first signal; at the second it no longer waits for the tasks."""

    def __init__(self, driver: Driver) -> None:
        self.number = 0
        self._driver = driver
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._stop) for number in numbers}

    def _stop(self, number: int, _frame: object) -> None:
        self.number = self.number or number
        self._driver.stop()

    def restore(self) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _forget_environment(folder: str) -> None:
    """Remove the environment: it may hold secrets."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder, node.ENVIRONMENT_FILE))


def _say_end(picture: Picture, number: int) -> None:
    done = len(picture.counting())
    unknown = [str(number) for number, some in picture.attempts.items() if is_unknown(some)]
    left = len(picture.tasks) - done - len(unknown)
    if left:
        why = f"ended by {signal.Signals(number).name}" if number else "not all could run"
        complain(f"hpcwatch: {why}; {left} of {len(picture.tasks)} tasks are not done yet")
        complain(f"Go on with: hpcwatch sweep --resume --name {clean(picture.plan.id)}")
    if unknown:
        complain(
            f"hpcwatch: {_listed(unknown)} ended in an unknown way: --resume does not "
            f"run that again, --rerun-unknown does"
        )
    complain(f"Kept in {clean(picture.folder)}")


def _listed(tasks: list[str]) -> str:
    more = f" and {len(tasks) - _MOST_LISTED} more" if len(tasks) > _MOST_LISTED else ""
    return f"task {', '.join(tasks[:_MOST_LISTED])}{more}"


def _exit_code(picture: Picture, number: int) -> int:
    if number:
        return 128 + number
    counting = picture.counting()
    is_good = len(counting) == len(picture.tasks) and all(
        one.ended is not None and one.ended.is_good for one in counting.values()
    )
    return 0 if is_good else EXIT_FAILURE


def _from_joblog(options: argparse.Namespace, thresholds: config.Thresholds) -> int:
    """Show a run of plain GNU parallel."""
    if options.command or options.parameter or options.table:
        raise HpcwatchError("--from-joblog runs nothing", "leave the command out", EXIT_USAGE)
    path = options.from_joblog
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
    except OSError as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error), EXIT_USAGE) from None
    rows = joblog.parse(text)
    if not rows:
        raise HpcwatchError(f"{path} has no tasks yet", "rows appear as tasks end", EXIT_USAGE)
    made = outcome.of_joblog(os.path.basename(path), rows, os.uname().nodename)
    print_outcome(made, options, thresholds)
    return 0
