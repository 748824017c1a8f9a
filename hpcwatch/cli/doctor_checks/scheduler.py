"""Checks of the scheduler: which one it is, its commands, and whether it answers."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cli.doctor_checks import Check, Level, ok
from hpcwatch.cli.doctor_checks.recording import Recording
from hpcwatch.cluster import client
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import NAMES, dialect
from hpcwatch.cluster.schedulers.detection import Detected
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState

_HELPERS = {
    "checkjob": "why a job waits",
    "showstart": "when it starts",
    "qshow": "a site's own summary",
}
_SLOW_S = 5.0


class Patient:
    """The scheduler under examination: later checks use what earlier ones learnt."""

    def __init__(self, recording: Recording, forced: str | None, user: str) -> None:
        self.recording = recording
        self.user = user
        self._forced = forced
        self.detected: Detected | None = None
        self.inquiry: Inquiry | None = None
        self.jobs: tuple[Job, ...] = ()

    def found(self) -> Iterator[Check]:
        """Check which scheduler there is, its version and its commands."""
        try:
            self.detected = client.find(self._forced, self.recording)
        except HpcwatchError as error:
            purposes = [command for name in NAMES for command in dialect(name).purposes]
            is_any = any(shutil.which(command) for command in purposes)
            level = Level.PROBLEM if is_any or self._forced else Level.WARNING
            yield Check("scheduler", level, error.message, error.hint)
            return
        self.inquiry = Inquiry(self.detected, Asker(self.recording))
        known = dialect(self.detected.scheduler)
        yield ok("scheduler", f"{known.name}: {self._version(known.probe)}")
        yield from _commands(known.name, known.purposes)
        if known.has_helpers:
            yield _helpers(self.detected.helpers)

    def _version(self, probe: Sequence[str]) -> str:
        try:
            answer = self.recording.heard(probe) or self.recording(probe)
        except HpcwatchError as error:
            return error.message
        lines = (answer.text or answer.words).strip().splitlines() or ["of unknown version"]
        return lines[0].strip()[:100]

    def answers(self) -> Iterator[Check]:
        """Query the user's jobs and measure how long the answer takes."""
        if self.inquiry is None:
            return
        begin_s = time.monotonic()
        self.jobs = self.inquiry.jobs(self.user).value
        took_s = time.monotonic() - begin_s
        running = sum(job.state is JobState.RUNNING for job in self.jobs)
        found = (
            f"{len(self.jobs)} jobs of {self.user}, {running} running; answered in {took_s:.2f} s"
        )
        if took_s > _SLOW_S:
            advice = "hpcwatch queries at most every 30 s and shows the age of the answer"
            yield Check("jobs", Level.WARNING, found, advice)
        else:
            yield ok("jobs", found)

    def running(self) -> Job | None:
        """Return a running job of the user."""
        return next((job for job in self.jobs if job.state is JobState.RUNNING and job.nodes), None)


def _commands(scheduler: str, purposes: Mapping[str, str]) -> Iterator[Check]:
    paths = {name: shutil.which(name) for name in purposes}
    missing = [name for name, path in paths.items() if path is None]
    folders = dict.fromkeys(os.path.dirname(path) for path in paths.values() if path is not None)
    if missing:
        lost = ", ".join(f"{name} ({purposes[name]})" for name in missing)
        advice = f"is this a login node? Some sites require: module load {scheduler}"
        yield Check("commands", Level.WARNING, f"not on PATH: {lost}", advice)
    else:
        yield ok("commands", f"{', '.join(paths)} in {', '.join(folders)}")


def _helpers(there: frozenset[str]) -> Check:
    if not there:
        found = "no checkjob, showstart, qshow: the reason for a wait comes from qstat"
        return Check("helpers", Level.NOTE, found)
    named = [f"{name} ({what})" for name, what in _HELPERS.items() if name in there]
    return ok("helpers", ", ".join(named))
