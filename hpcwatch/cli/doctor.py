"""`hpcwatch doctor`: check what hpcwatch needs, and say what to do."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE
from hpcwatch.cli import doctor_site
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.doctor_checks import (
    Check,
    Level,
    exporters,
    guarded,
    here,
    node,
    recording,
    site,
    software,
    storage,
)
from hpcwatch.cli.doctor_checks.scheduler import Patient
from hpcwatch.cluster import client
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import NAMES
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import clean_host
from hpcwatch.monitor.remote import spec_of
from hpcwatch.probe.listing import login_name
from hpcwatch.views.text import Span, columns_of, render, wants_colour

_LOOKS = {
    Level.OK: ("✓", "ok"),
    Level.NOTE: ("·", "dim"),
    Level.WARNING: ("●", "warning"),
    Level.PROBLEM: ("▲", "critical"),
}
_SUBJECT = 14
_INDENT = 11


def main(arguments: list[str]) -> int:
    """Print a line per check; return exit code 1 if there is a problem."""
    parser = Parser(
        prog="hpcwatch doctor",
        description="Check Python, terminal, scheduler, nodes, GPUs, cgroups and storage, and say "
        "how to fix what is wrong.",
    )
    parser.add_argument(
        "job", metavar="JOBID", nargs="?", help="check this job and one of its nodes"
    )
    parser.add_argument(
        "--host", metavar="NODE", help="the node to connect to (default: a node of one of my jobs)"
    )
    parser.add_scheduler(NAMES)
    parser.add_argument(
        "--record", metavar="DIR", help="write the scheduler's answers to DIR, as parser tests"
    )
    parser.add_argument(
        "--site",
        action="store_true",
        help="for administrators: what users can see here, what would show them more, and a "
        "configuration file for all",
    )
    parser.add_colour()
    options = parser.parse_args(arguments)
    host = clean_host(options.host) if options.host is not None else None
    folder = recording.new_folder(options.record) if options.record is not None else None
    wanted = options.scheduler or config.load_or_default().scheduler
    patient = Patient(recording.Recording(client.run), wanted, login_name(os.getuid()))
    printer = _Printer(wants_colour(sys.stdout, options.color), columns_of(sys.stdout))
    if options.site:
        _site(printer, patient, host)
    else:
        for check in _checks(patient, host, options.job, folder):
            printer.show(check)
        print(printer.summary())
    return EXIT_FAILURE if printer.counts[Level.PROBLEM] else 0


def _checks(
    patient: Patient, host: str | None, job_id: str | None, folder: str | None
) -> Iterator[Check]:
    yield from software.checks()
    steps: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("configuration", storage.configuration),
        ("storage", storage.runs),
        ("cgroups here", here.cgroups),
        ("GPUs here", here.gpus),
        ("exporters here", exporters.here),
        ("job here", here.job),
        ("scheduler", patient.found),
        ("jobs", patient.answers),
    ]
    for subject, step in steps:
        yield from guarded(subject, step)
    jobs: list[Job] = []
    if job_id is not None:
        yield from guarded("job", lambda: _one_job(patient, job_id, jobs))
    job = jobs[0] if jobs else patient.running()
    yield from guarded("node", lambda: _node(host, job))
    if folder is not None:
        yield from guarded("record", lambda: _recorded(patient, folder, jobs))


def _site(printer: _Printer, patient: Patient, host: str | None) -> None:
    """Print the page for administrators."""
    seen: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("other users", site.others),
        ("cgroups here", here.cgroups),
        ("GPUs here", here.gpus),
        ("exporters here", exporters.here),
        ("scheduler", patient.found),
        ("jobs", patient.answers),
        ("node", lambda: _node(host, patient.running())),
    ]
    helps: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("settings", lambda: site.settings(patient)),
        ("GPUs", site.devices),
        ("programs", site.programs),
    ]
    for title, steps in ((doctor_site.SEEN, seen), (doctor_site.HELPS, helps)):
        print(f"{title}\n")
        for subject, step in steps:
            for check in guarded(subject, step):
                printer.show(check)
        print()
    print(f"{printer.summary()}\n")
    detected = None if patient.detected is None else patient.detected.scheduler
    print(f"{doctor_site.FILE}\n")
    print("\n".join(doctor_site.configuration(detected)))


def _one_job(patient: Patient, job_id: str, found: list[Job]) -> Iterator[Check]:
    if patient.inquiry is None:
        yield Check("job", Level.PROBLEM, f"{job_id} cannot be looked up without a scheduler")
        return
    found += patient.inquiry.job(patient.inquiry.scheduler.clean_id(job_id)).value
    if not found:
        yield Check("job", Level.PROBLEM, f"no job {job_id}", "see: hpcwatch jobs")
        return
    job = found[0]
    where = ", ".join(job.nodes) or "no node yet"
    level = Level.WARNING if job.state.value == "unknown" else Level.OK
    yield Check("job", level, f"{job.id} is {job.state.value} ({job.raw_state}), on {where}")


def _node(host: str | None, job: Job | None) -> Iterable[Check]:
    if job is not None and host is not None and job.on(host) is None:
        job = None  # a node that the user named may not belong to the job
    if host is None and job is not None and job.nodes:
        host = job.nodes[0]
    if host is None:
        found = "none tried: none of my jobs is running"
        return [Check("node", Level.NOTE, found, "name one: hpcwatch doctor --host NODE")]
    ports = config.load_or_default().exporter_ports
    spec = spec_of([] if job is None else [job], node.INTERVAL_S, exporter_ports=ports)
    return node.checks(host, job, spec)


def _recorded(patient: Patient, folder: str, jobs: list[Job]) -> Iterator[Check]:
    name = "unknown"
    if patient.inquiry is not None and patient.detected is not None:
        name, helpers = patient.detected
        chosen = jobs or recording.one_of_each_state(patient.jobs)
        recording.ask_all(patient.inquiry.scheduler, helpers, Asker(patient.recording), chosen)
    count = recording.write(folder, name, patient.recording.all)
    advice = (
        "they are unchanged, with names of people, projects, paths and variables: read them "
        "before you share them"
    )
    yield Check("record", Level.OK, f"{count} answers in {folder}", advice)


class _Printer:
    """Prints checks and counts them."""

    def __init__(self, coloured: bool, width: int) -> None:
        self._coloured = coloured
        self._width = max(width, 40)
        self.counts = dict.fromkeys(Level, 0)

    def show(self, check: Check) -> None:
        """Print a check: its sign and level, subject, result, and what to do."""
        self.counts[check.level] += 1
        sign, style = _LOOKS[check.level]
        subject = f"{clean(check.subject):{_SUBJECT}} "
        first, *more = self._wrapped(subject + clean(check.found))
        print(render([Span(f"{sign} {check.level.value:8} ", style), Span(first)], self._coloured))
        advised = self._wrapped(f"→ {clean(check.advice)}") if check.advice else []
        for row in (*more, *advised):
            print(f"{'':{_INDENT}}{row}")
        sys.stdout.flush()

    def _wrapped(self, text: str) -> list[str]:
        return textwrap.wrap(
            text, self._width - _INDENT, subsequent_indent="  ", break_on_hyphens=False
        )

    def summary(self) -> str:
        """Return the closing line: how many problems and warnings there are."""
        problems, warnings = self.counts[Level.PROBLEM], self.counts[Level.WARNING]
        if not problems and not warnings:
            return "All is well."
        return (
            f"{problems} problem{'s' * (problems != 1)}, {warnings} warning{'s' * (warnings != 1)}."
        )
