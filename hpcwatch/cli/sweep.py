"""`hpcwatch sweep`: many runs of one command over the job's nodes, each one measured."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Mapping

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.base.output import complain
from hpcwatch.cli import sweep_array, sweep_begin, sweep_end, sweep_notify, sweep_options
from hpcwatch.cli.sweep_show import Show, print_outcome
from hpcwatch.cluster.current_job import own_job
from hpcwatch.sweep import (
    array,
    array_element,
    engine,
    folders,
    hosts,
    joblog,
    node,
    outcome,
    plan,
    recorded,
    sharing,
    slots,
    walltime,
)
from hpcwatch.sweep.attempts import Attempts
from hpcwatch.sweep.driver import Driver


def main(arguments: list[str]) -> int:
    """Run a sweep, resume one, or show a joblog."""
    if arguments[:1] == ["show"]:
        from hpcwatch.cli import sweep_now

        return sweep_now.main(arguments[1:])
    options = sweep_options.parse(arguments)
    thresholds = config.load().thresholds
    if options.from_joblog is not None:
        return _from_joblog(options, thresholds)
    is_resumed = options.resume or options.resume_failed or options.rerun_unknown
    before = sweep_begin.resumed(options) if is_resumed else None
    is_array = before is not None and bool(array.every(before.folder))
    options.engine = options.engine or ("array" if is_array else "parallel")
    sweep_options.check_engine(options)
    if options.engine == "array":
        if options.notify:
            hint = "leave --notify out, or use the engine parallel"
            raise HpcwatchError(
                "--notify reports the end of a sweep that runs here", hint, EXIT_USAGE
            )
        return sweep_array.run(before, options, thresholds)
    engine.require()
    if before is not None and is_array:
        sweep_array.settle(before)
    found = before or sweep_begin.created(options)
    try:
        with folders.driving(found.folder):
            return _drive(found, options, thresholds)
    finally:
        recorded.summarize(found)


def _drive(found: folders.Found, options: argparse.Namespace, thresholds: config.Thresholds) -> int:
    """Run the missing tasks with a live view; then print the results."""
    folder, began_s = found.folder, time.monotonic()
    if options.resume or options.resume_failed or options.rerun_unknown:
        sweep_begin.clear_up(found, options)
    answers, counts = _places(found, options)
    watch = sharing.Watch(folder, answers.values(), own_job() is not None)
    show = Show(options, folder, watch, thresholds, walltime.limit_of(own_job(), time.time()))
    tasks = plan.read_tasks(folder)
    driver = Driver(folder, found.plan, tasks, answers, counts, show.changed)
    with_signals = _Stopper(driver)
    try:
        before = driver.picture()
        show.begin(before)
        picture = driver.run()
    finally:
        show.close()
        with_signals.restore()
        array_element.forget_environment(folder)
    print_outcome(show.outcome(picture), options, thresholds, show.lateness(picture))
    sweep_end.say(picture, with_signals.number, sweep_end.tries_count(before))
    sweep_notify.tell(picture, with_signals.number, began_s, options.notify)
    return sweep_end.exit_code(picture, with_signals.number)


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
