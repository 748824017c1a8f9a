"""`hpcwatch jobs --watch`: the scheduler is asked on a thread, nodes only where a user wants it."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import is_interactive
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.job import watch_job
from hpcwatch.cli.jobs_probes import Probes
from hpcwatch.cli.jobs_rows import merged, rows_of
from hpcwatch.cli.picker import Chosen
from hpcwatch.cli.watch_options import add_options
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState, Usage
from hpcwatch.views.jobs.jobs_table import JobRow, counts_words, ordered
from hpcwatch.views.live import picker
from hpcwatch.views.live.jobs_page import JobsPage, Shown

_EVERY_S = 1.0
"""Seconds between repaints: times go on."""
_MOST_ASKED = 4
"""Jobs whose use is asked singly in a round, the longest unasked first: sstat asks their nodes."""
_ASK_FOR_S = 5.0


def show(options: argparse.Namespace, users: Sequence[str], accounts: Sequence[str]) -> int:
    """Show the table until the user leaves; return the exit code."""
    if not options.watch:
        raise HpcwatchError("--probe belongs to --watch", "say jobs --watch --probe", EXIT_USAGE)
    if not is_interactive() or options.format != "text":
        hint = "without one say: hpcwatch jobs"
        raise HpcwatchError("jobs --watch needs a terminal", hint, EXIT_USAGE)
    scheduler = options.scheduler or config.load().scheduler
    of_job = _options_of_job(options)
    detected = client.find(scheduler)

    def inquiry() -> Inquiry:
        return Inquiry(detected, client.Asker())

    probes = Probes(of_job, inquiry)
    poll = Poll(inquiry(), users, accounts, probes, options.probe)
    page = JobsPage(poll.shown, probes.toggle, poll.refresh)
    poll.start()
    try:
        while True:
            code = picker.choose(page, options.color, _EVERY_S)
            if page.chosen is None:
                return code
            try:
                known = Chosen(page.chosen).known
                watch_job(inquiry(), page.chosen.id, of_job, known=known)
            except HpcwatchError as error:
                probes.note = str(error)
            page.reopen()
    finally:
        poll.stop()
        probes.stop()


def _options_of_job(options: argparse.Namespace) -> argparse.Namespace:
    """Return what `hpcwatch job` would have been told."""
    parser = Parser(prog="hpcwatch job", description="")
    add_options(parser)
    made: argparse.Namespace = parser.parse_args([])
    made.color, made.scheduler = options.color, options.scheduler
    return made


class Poll:
    """Asks the scheduler about running jobs every 30 s, on a thread of its own."""

    def __init__(
        self,
        asked: Inquiry,
        users: Sequence[str],
        accounts: Sequence[str],
        probes: Probes,
        is_probing: bool,
    ) -> None:
        """Without users and accounts all jobs are shown."""
        self._asked, self._probes, self._is_probing = asked, probes, is_probing
        self._users, self._accounts = set(users), set(accounts)
        self._name = clean(", ".join([*users, *accounts]) or "everybody")
        self._settings = config.load()
        self._usages: dict[str, tuple[float, Usage | None]] = {}
        self._rows: list[JobRow] = []
        self._words = "being asked"
        self._note = ""
        self._at_s: float | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="hpcwatch-jobs", daemon=True)

    def start(self) -> None:
        """Ask now, and from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._is_over = True
        self._wake.set()

    def refresh(self) -> None:
        """Ask again now."""
        self._wake.set()

    def shown(self) -> Shown:
        """Return what is known now, with the flags of the jobs whose nodes are read."""
        with self._lock:
            rows, words, note, at_s = self._rows, self._words, self._note, self._at_s
        age = "" if at_s is None else f", {int(time.monotonic() - at_s)} s ago"
        title = f"{self._name} on {self._asked.scheduler.name}: {words}{age}"
        probed = {one.id: self._probes.flags(one.id) for one in self._probes.jobs()}
        if probed:
            rows = [
                row._replace(flags=merged(probed[row.job.id], row.flags))
                if row.job.id in probed
                else row
                for row in rows
            ]
        return Shown(title, rows, time.time(), note or self._probes.note)

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._ask()
            except HpcwatchError as error:
                self._failed(str(error))
            except Exception as error:  # the table stays as it was
                self._failed(f"{type(error).__name__}: {error}")
            self._wake.wait(client.EVERY_S)
            if self._wake.is_set():
                self._wake.clear()
                self._asked.hurry()

    def _failed(self, reason: str) -> None:
        with self._lock:
            self._note = reason

    def _ask(self) -> None:
        is_one = len(self._users) == 1 and not self._accounts
        reply = self._asked.jobs(*self._users) if is_one else self._asked.watched()
        listed = [job for job in reply.value if self._is_wanted(job)]
        jobs = [self._with_usage(job) for job in ordered(list(filter(_is_running, listed)))]
        self._show(jobs, listed, reply.age_s, reply.trouble)
        if self._ask_usages(jobs):
            jobs = [self._with_usage(job) for job in jobs]
            self._show(jobs, listed, reply.age_s, reply.trouble)
        self._probes.keep(jobs, self._is_probing)

    def _show(self, jobs: Sequence[Job], listed: Sequence[Job], age_s: float, trouble: str) -> None:
        rows = rows_of(jobs, time.time(), self._settings)
        with self._lock:
            self._rows, self._note = rows, trouble
            self._words = counts_words(listed) or "no jobs"
            self._at_s = time.monotonic() - age_s

    def _is_wanted(self, job: Job) -> bool:
        if self._accounts:
            return job.account in self._accounts
        return not self._users or (job.owner or "").partition("@")[0] in self._users

    def _with_usage(self, job: Job) -> Job:
        """Add the last answer about a job's use where its list has none."""
        usage = self._usages.get(job.id, (0.0, None))[1]
        return job._replace(usage=usage) if job.usage is None and usage is not None else job

    def _ask_usages(self, jobs: Sequence[Job]) -> bool:
        """Ask for the use of a few jobs; True if anything was learnt."""
        known = {job.id for job in jobs}
        self._usages = {name: one for name, one in self._usages.items() if name in known}
        end_s = time.monotonic() + _ASK_FOR_S
        lacking = [job for job in jobs if job.state is JobState.RUNNING and not job.is_array]
        lacking = [job for job in lacking if job.usage is None or job.id in self._usages]
        lacking.sort(key=lambda job: self._usages.get(job.id, (0.0, None))[0])
        for job in lacking[:_MOST_ASKED]:
            if self._is_over or time.monotonic() > end_s:
                break
            self._usages[job.id] = time.monotonic(), self._usage_of(job)
        return bool(lacking)

    def _usage_of(self, job: Job) -> Usage | None:
        usage: Usage | None = self._asked.enriched(job._replace(usage=None)).usage
        if usage is None or usage.walltime_s is not None:
            return usage
        # The figure stays for minutes: it belongs to the time that had passed by now.
        elapsed_s = job.elapsed_at(time.time())
        return usage._replace(walltime_s=int(elapsed_s) if elapsed_s else None)


def _is_running(job: Job) -> bool:
    return not (job.state.is_waiting or job.has_ended or job.state is JobState.UNKNOWN)
