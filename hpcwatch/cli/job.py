"""`hpcwatch job JOBID`: every node of a job, live."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain, is_interactive
from hpcwatch.cli import (
    array_answer,
    export_options,
    exporting,
    finished,
    notify_options,
    reporting,
)
from hpcwatch.cli.arguments import Parser
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers import NAMES
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.cluster.transport import PLAIN_STEPS, Steps
from hpcwatch.cluster.transport.ways import NAMES as WAYS
from hpcwatch.cluster.transport.ways import Ways, slurm_steps, suitable, ways
from hpcwatch.monitor import report
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.watch import Known, Questions, Watch, known_from
from hpcwatch.probe.listing import login_name
from hpcwatch.recording.lookup import find
from hpcwatch.views.text import columns_of, wants_colour

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.inquiry import Inquiry
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.monitor.picture import Picture

_RATE_S = 0.9
"""Rates over a shorter time say little."""
ONCE_S = 20.0
"""How long one picture waits for nodes: a connection and two readings take one to two seconds."""
_PROGRAM_S = 5.0
"""How long one picture waits, after the nodes, for the program's events."""
_LOOK_S = 1.0
_NODES_PER_S = 100.0
"""The most readings a second of all nodes together, if the user requests no interval."""


def main(arguments: list[str]) -> int:
    """Watch a job."""
    parser = Parser(prog="hpcwatch job", description="Watch every node of a job, live.")
    parser.add_argument(
        "job",
        metavar="JOBID",
        nargs="?",
        help="305669, 5[3], 2_3 (default: my only running job, else a list to choose from)",
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    if options.cancel_if_idle is not None and is_one_picture(options):
        hint = "in a job script say: hpcwatch run --cancel-if-idle 60m -- COMMAND"
        raise HpcwatchError(
            "--cancel-if-idle watches the job, which needs a terminal", hint, EXIT_USAGE
        )
    export_options.wanted(options)
    if not is_one_picture(options):
        with contextlib.suppress(RuntimeError):  # no thread can start (ulimit -u): it comes later
            threading.Thread(target=_load_view, name="hpcwatch-load", daemon=True).start()
    inquiry = client.inquiry(options.scheduler or config.load().scheduler)
    if options.job is not None:
        return watch_job(inquiry, inquiry.scheduler.clean_id(options.job), options)
    from hpcwatch.cli import picker

    chosen = picker.choose(inquiry, options, is_one_picture(options))
    if chosen.job is None:
        return chosen.code
    return watch_job(inquiry, chosen.job.id, options, known=chosen.known)


def _load_view() -> None:
    """Import what draws the view while the scheduler is being asked."""
    try:
        for name in ("hpcwatch.cli.give_back", "hpcwatch.views.live.view", "rich.console"):
            importlib.import_module(name)
    except Exception:
        return  # where it is needed the same import says why


def add_options(parser: Parser) -> None:
    """Add the options of `job` and `submit`."""
    add_view_options(parser)
    notify_options.add(parser)
    parser.add_scheduler(NAMES)
    parser.add_argument(
        "--user", help="the user whose processes are counted (default: the job's owner)"
    )
    parser.add_argument(
        "--report",
        action="append",
        type=reporting.wanted,
        metavar="FORMAT[:FILE]",
        default=[],
        help=reporting.help_text(),
    )
    parser.add_argument(
        "--no-record",
        action="store_true",
        help="do not record, so that `report` has nothing to show",
    )
    export_options.add(parser)


def add_view_options(parser: Parser) -> None:
    """Add the options of all live views."""
    parser.add_argument("--once", action="store_true", help="print one picture and exit")
    parser.add_format("text", "json", "qshow")
    parser.add_interval()
    parser.add_argument("--transport", choices=WAYS, help="how to connect to nodes (default: auto)")
    parser.add_colour()


def watch_job(
    inquiry: Inquiry,
    job_id: str,
    options: argparse.Namespace,
    until_over: bool = False,
    known: Known | None = None,
) -> int:
    """Watch a job until the user leaves, or, if requested, until it is over.

    ``known`` is what a list said of it: then the first picture does not wait for another answer.
    """
    while True:
        if known is None and not is_one_picture(options):
            known = _head(inquiry, job_id)
        is_head = known is not None and not is_one_picture(options)
        if known is None or not is_head:
            known = known_from(inquiry.job(job_id))
        if not known.parts:
            return finished.recorded(inquiry, job_id, options)
        job = known.job
        if job is not None and job.state.is_over:
            if until_over:
                tell_end(job, options)
            finished.report(job, options)
            return 0
        if job is None and _is_over(known) and options.format == "text" and not options.report:
            print(array_answer.of_parts(job_id, known.parts), end="")
            return 0
        watching = Watching(Questions(inquiry, job_id), known, options, until_over)
        chosen = watching.show(is_head)
        if chosen is None:
            return watching.code
        known = None
        job_id = inquiry.scheduler.clean_id(chosen)


def tell_end(job: Job, options: argparse.Namespace) -> None:
    """Report the end of a submitted job that was over before it could be watched."""
    settings = config.load()
    if not options.notify and not settings.notify:
        return
    from hpcwatch.monitor.notify.job import JobNotifying

    told: list[str] = []
    notifying = JobNotifying(job, options.notify, None, settings, lambda _: None, told.append)
    notifying.ended(job, ())
    for line in [*told, *(f"notify: {trouble}" for trouble in notifying.close())]:
        complain(f"hpcwatch: {clean(line)}")


def _head(inquiry: Inquiry, job_id: str) -> Known | None:
    """Return what one query says of a running job: enough for the first picture.

    The rest takes up to four queries. None if it is no single job that runs, or no answer came.
    """
    try:
        known = known_from(inquiry.watched(job_id))
    except HpcwatchError:
        return None
    job = known.job
    is_enough = job is not None and job.state is JobState.RUNNING and not known.trouble
    return known if is_enough and len(known.parts) == 1 else None


def _is_over(known: Known) -> bool:
    """True of an array of which nothing waits or runs any more."""
    return all(part.state.is_over for part in known.parts)


class Watching:
    """One job on the screen, from the first reading to the closing message."""

    def __init__(
        self,
        questions: Questions,
        known: Known,
        options: argparse.Namespace,
        until_over: bool = False,
    ) -> None:
        self._options = options
        self._until_over = until_over
        self._wanted = export_options.wanted(options)
        self.code = 0
        settings = self._settings = settings_for(options, len(known.nodes))
        self._watch = Watch(
            title=questions.job_id,
            questions=questions,
            known=known,
            hosts=(),
            opener=self._ways,
            settings=settings,
            is_recorded=not options.no_record,
            user=options.user,
        )
        self._told: list[str] = []
        is_lasting = until_over or not is_one_picture(options)
        is_asked = options.notify or settings.notify or self._idle_s
        if known.job is None:
            notify_options.check_array(options.notify, self._idle_s)
        if known.job is not None and is_lasting and is_asked:
            from hpcwatch.monitor.notify.job import JobNotifying

            self._watch.notifying = JobNotifying(
                known.job, options.notify, self._idle_s, settings, self._watch.mark, self._tell
            )

    @property
    def _idle_s(self) -> float | None:
        """What ``--cancel-if-idle`` of `job` says: `submit` leaves it to the job itself."""
        return None if self._until_over else self._options.cancel_if_idle

    def _tell(self, line: str) -> None:
        """Show a line on the screen; without one it is printed."""
        self._told.append(line)
        self._watch.say(line)

    def _close(self) -> None:
        """End the watch, and print what was said meanwhile and what could not be delivered."""
        self._watch.stop()
        self._watch.tell_end()
        notifying = self._watch.notifying
        failed = notifying.close() if notifying is not None else []
        self._print_told()
        for trouble in failed:
            complain(f"hpcwatch: notify: {trouble}")

    def _print_told(self) -> None:
        told, self._told = self._told, []
        for line in told:
            complain(f"hpcwatch: {clean(line)}")

    def _ways(self, job: Job | None) -> Ways:
        steps = slurm_steps(self._watch.known.parts, self._is_suspended)
        return ways_to(job, self._options.transport, self._settings, steps)

    def _is_suspended(self) -> bool:
        job = self._watch.known.job
        return job is not None and job.state is JobState.SUSPENDED

    def show(self, is_due: bool = False) -> str | None:
        """Show it; return the id of another job if the user opened one.

        ``is_due`` asks the scheduler about the job at once, on a thread of its own.
        """
        watch = self._watch
        watch.start()
        if is_due:
            watch.refresh()
        try:
            with exporting.of_job(watch, self._wanted, is_strict=not self._until_over):
                if is_one_picture(self._options):
                    self.code = once(watch, self._options)
                    left = None
                else:
                    left = live(watch, self._options, self._until_over)
        finally:
            self._close()
        if left is None:
            self._report()
            return None
        self.code = left.code
        if left.chosen is None:
            self._say_goodbye()
        return left.chosen

    def follow(self, told: Callable[[Known], None]) -> Job | None:
        """Record without a screen until the job is over; return its last state.

        ``told`` is called with each answer of the scheduler.
        """
        watch = self._watch
        watch.start()
        try:
            with exporting.of_job(watch, self._wanted, is_strict=False):
                while True:
                    known = watch.known
                    told(known)
                    self._print_told()
                    if known.job is None or known.job.has_ended:
                        break
                    time.sleep(_LOOK_S)
        finally:
            self._close()
        self._say_goodbye()
        return known.job

    def _report(self) -> None:
        """Write the requested reports on what was seen so far, while the job runs on."""
        asked, run_id = self._options.report, self._watch.run_id
        if asked:
            made = report.load(find(run_id)) if run_id is not None else self._watch.report()
            if any(one.path is None for one in asked):
                print(reporting.printed(made, asked, sys.stdout, self._options.color), end="")
            reporting.write_all(made, asked)

    def _say_goodbye(self) -> None:
        """Print, after the screen is closed, the report of a finished job, or where it will be."""
        job, run_id = self._watch.known.job, self._watch.run_id
        if job is not None and job.has_ended:
            finished.report(job, self._options, find(run_id) if run_id is not None else None)
            return
        self._report()
        if run_id is not None:
            print(f"What was seen is kept: hpcwatch report {run_id}")


def settings_for(options: argparse.Namespace, hosts_count: int) -> config.Settings:
    """Return the settings with the requested interval; many nodes have a longer default."""
    settings = config.load()
    least_s = max(settings.interval_s, hosts_count / _NODES_PER_S)
    return settings._replace(interval_s=options.interval or least_s)


def ways_to(
    job: Job | None, forced: str | None, settings: config.Settings, steps: Steps = PLAIN_STEPS
) -> Ways:
    """Return the ways to a job's nodes, or to hosts without a job. Raises HpcwatchError."""
    scheduler = None if job is None else job.scheduler
    job_id = None if job is None else job.het_id or job.raw_id or job.id
    way = forced or suitable(settings.transport, scheduler)
    return ways(scheduler, job_id, way, settings.ssh, steps)


def is_one_picture(options: argparse.Namespace) -> bool:
    """Return True if one picture is requested or there is no terminal for a live view."""
    if options.once or options.format != "text":
        return True
    return not is_interactive()


def once(watch: Watch, options: argparse.Namespace) -> int:
    """Print one picture as soon as every node was read for a second or has failed.

    Return the exit code: 1 if there are nodes and none of them could be read.
    """
    deadline_s = time.monotonic() + ONCE_S
    while time.monotonic() < deadline_s and not is_complete(watch):
        time.sleep(0.05)
    watch.await_program(min(deadline_s - time.monotonic(), _PROGRAM_S))
    with watch.lock:
        print(_text(watch, options), end="")
        return 1 if watch.statuses() and not watch.timeline.hosts else 0


def is_complete(watch: Watch) -> bool:
    """Return True if waiting would add nothing: rates need two readings."""
    with watch.lock:
        hosts = watch.timeline.hosts
        read = {name for name, host in hosts.items() if host.at_s[-1] - host.at_s[0] > _RATE_S}
    return all(
        status.host in read or (status.state is NodeState.LOST and status.host not in hosts)
        for status in watch.statuses()
    )


def _text(watch: Watch, options: argparse.Namespace) -> str:
    picture = watch.picture()
    if options.format == "json":
        if picture.job is None and picture.parts:
            return _array_json(picture)
        from hpcwatch.analysis.report.to_json import to_json

        return to_json(watch.report()) + "\n"
    if options.format == "qshow":
        from hpcwatch.views.report.qshow import qshow_text

        if picture.job is None:
            raise HpcwatchError("no job to show", "name one task of the array", EXIT_USAGE)
        return qshow_text(picture.job, picture.timeline, picture.statuses)
    from hpcwatch.views.live.once import text_of

    coloured = wants_colour(sys.stdout, options.color)
    return text_of(picture, columns_of(sys.stdout), None, coloured)


def _array_json(picture: Picture) -> str:
    """Return an array's tasks as `hpcwatch jobs --format json` does: it has no report."""
    from hpcwatch.cluster.schedulers.arrays import tasks_of
    from hpcwatch.views.jobs import to_json as jobs_json
    from hpcwatch.views.jobs.jobs_table import JobRow

    tasks = tasks_of(picture.parts)
    rows = [JobRow(job, ()) for job in tasks]
    first = tasks[0]
    return jobs_json.to_json(first.owner or "", first.scheduler, rows, picture.at_s) + "\n"


class _Over(Exception):  # noqa: N818 - not an error: the job has ended
    """Raised to close the view when the job that it shows is over."""


class _Actions:
    """The actions of the view's keys."""

    def __init__(self, watch: Watch) -> None:
        self.refresh = watch.refresh
        self.name_all = watch.name_all
        self.follow_log = watch.follow_log
        self.chosen: str | None = None

    def open_job(self, job_id: str) -> None:
        """Keep the id of the task that the user opened."""
        self.chosen = job_id


class Left(NamedTuple):
    """Why the view was closed."""

    code: int
    chosen: str | None
    """The id of the job that the user opened in it."""


def live(watch: Watch, options: argparse.Namespace, until_over: bool = False) -> Left:
    """Show the full-screen view until the user leaves it, or the job is over."""
    from hpcwatch.cli import give_back
    from hpcwatch.views.live.view import LiveView

    actions, giving = _Actions(watch), give_back.Giving(login_name(os.getuid()), watch.mark)

    def picture() -> Picture:
        job = watch.known.job
        if until_over and job is not None and job.has_ended:
            raise _Over
        made = watch.picture()
        giving.look(made)
        return made

    while True:
        try:
            code = LiveView(picture, actions, options.color, watch.lock, giving).run()
        except _Over:
            code = 0
        except give_back.Asked:
            giving.ask()
            watch.refresh()
            continue
        return Left(code, actions.chosen)
