"""`hpcwatch export RUN|JOBID...`: the numbers of running runs and jobs, for Prometheus."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from typing import Protocol

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli import export_options, exporting
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.node_ways import settings_for, ways_to_watched
from hpcwatch.cli.one_picture import ONCE_S, is_complete
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers import NAMES
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport.ways import NAMES as WAYS
from hpcwatch.cluster.transport.ways import Ways
from hpcwatch.export.exporter import Exporter
from hpcwatch.export.following import Following
from hpcwatch.export.scene import Source
from hpcwatch.export.wanted import Wanted
from hpcwatch.export.watched import Watched
from hpcwatch.monitor.known import Known, Questions, known_from
from hpcwatch.monitor.standard_error import Complaints
from hpcwatch.monitor.watch import Watch
from hpcwatch.recording.lookup import find
from hpcwatch.recording.removal import is_being_made

_LOOK_S = 1.0


class Living(Source, Protocol):
    """A source that ends one day."""

    @property
    def is_over(self) -> bool:
        """Nothing new will come."""


class _Job(Watched):
    """A job that this command itself watches, without recording it."""

    def __init__(self, questions: Questions, known: Known, options: argparse.Namespace) -> None:
        self._transport = options.transport
        self._settings = settings_for(options, len(known.nodes))
        self.watch = Watch(
            title=questions.job_id,
            questions=questions,
            known=known,
            hosts=(),
            opener=self._ways,
            settings=self._settings,
            is_recorded=False,
            user=options.user,
        )
        super().__init__(self.watch)

    def _ways(self, job: Job | None) -> Ways:
        return ways_to_watched(job, self._known, self._transport, self._settings)

    def _known(self) -> Known:
        return self.watch.known


def main(arguments: list[str]) -> int:
    """Export until everything is over, or once."""
    options = _parser().parse_args(arguments)
    wanted = export_options.wanted(options, has_another_way=True)
    _check(options, wanted)
    asked = wanted or Wanted(names=options.names, cluster=options.cluster or "")
    asked = asked._replace(every_s=options.every)
    sources = [_source(word, options) for word in options.what or [None]]
    jobs = [source for source in sources if isinstance(source, _Job)]
    for job in jobs:
        job.watch.start()
    try:
        return _once(sources, jobs, wanted, asked) if options.once else _live(sources, asked)
    finally:
        for job in jobs:
            job.watch.stop()


def _parser() -> Parser:
    parser = Parser(
        prog="hpcwatch export",
        description="Give the numbers of running runs and jobs to Prometheus, or to a collector.",
    )
    parser.add_argument(
        "what",
        nargs="*",
        metavar="RUN|JOBID",
        help="a run that is being recorded, or a job, which is watched (default: latest)",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="deliver once and exit; without --textfile, --push or --otlp print OpenMetrics",
    )
    parser.add_argument(
        "--every",
        type=_every_s,
        metavar="S",
        default=15.0,
        help="seconds between two deliveries to a file or a server (default: 15)",
    )
    export_options.add(parser)
    parser.add_interval()
    parser.add_argument("--transport", choices=WAYS, help="how to connect to nodes (default: auto)")
    parser.add_scheduler(NAMES)
    parser.add_argument(
        "--user", help="the user whose processes are counted (default: the job's owner)"
    )
    return parser


def _every_s(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no interval: give 1 to 3600 seconds")
    return value


def _check(options: argparse.Namespace, wanted: Wanted | None) -> None:
    """Raise HpcwatchError for options that do not go together."""
    if options.once and options.listen is not None:
        raise HpcwatchError("--once cannot listen", "leave out one of the two", EXIT_USAGE)
    if not options.once and wanted is None:
        hint = "say --listen 9500, --textfile FILE.prom, --push URL, --otlp URL, or --once"
        raise HpcwatchError("export needs a place for the numbers", hint, EXIT_USAGE)


def _source(word: str | None, options: argparse.Namespace) -> Living:
    """Return a recording that grows, else a job that is watched. Raises HpcwatchError."""
    try:
        directory = find(word)
        run = directory.read_run()
    except HpcwatchError as error:
        if word is None:
            raise
        return _watched(word, options, error)
    if is_being_made(directory, run):
        return Following(directory, config.load_to_read())
    hint = f"say: hpcwatch report {clean(word or 'latest')} -o run.om"
    raise HpcwatchError(f"{clean(run.name)} has ended", hint, EXIT_USAGE)


def _watched(word: str, options: argparse.Namespace, no_recording: HpcwatchError) -> _Job:
    """Return a job that its scheduler knows. Raises HpcwatchError."""
    try:
        inquiry = client.inquiry(options.scheduler or config.load().scheduler)
        job_id = inquiry.scheduler.clean_id(word)
    except HpcwatchError:
        if options.scheduler is not None:
            raise
        raise no_recording from None
    known = known_from(inquiry.job(job_id))
    job = known.job
    if not known.parts:
        raise HpcwatchError(f"no job {clean(word)}", "see: hpcwatch jobs", EXIT_USAGE)
    if job is None:
        raise HpcwatchError(f"{clean(word)} is an array", "name one of its tasks", EXIT_USAGE)
    if job.has_ended:
        hint = f"say: hpcwatch report {clean(word)}"
        raise HpcwatchError(f"{clean(word)} has ended", hint, EXIT_USAGE)
    return _Job(Questions(inquiry, job_id), known, options)


def _once(sources: list[Living], jobs: list[_Job], wanted: Wanted | None, asked: Wanted) -> int:
    deadline_s = time.monotonic() + ONCE_S
    while time.monotonic() < deadline_s and not all(is_complete(job.watch) for job in jobs):
        time.sleep(0.05)
    exporter = Exporter(sources, asked, Complaints(_never).say)
    if wanted is None:
        print(exporter.text(is_open=True), end="")
        return 1 if exporter.has_failed else 0
    return 0 if exporter.deliver(ONCE_S) else 1


def _live(sources: list[Living], wanted: Wanted) -> int:
    """Export until all sources are over, or a signal ends us."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: ended.set())
    exporter = exporting.started(sources, wanted, Complaints(_never).say)
    try:
        while not ended.wait(_LOOK_S):
            if all(source.is_over for source in sources):
                break
    finally:
        exporter.stop()
    return 0


def _never(_line: str) -> bool:
    """There is no live view: each complaint is printed, once."""
    return False
