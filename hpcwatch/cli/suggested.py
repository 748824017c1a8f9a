"""The edited copy of a job script: what `hpcwatch submit --as-suggested` submits."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.analysis.advice_check import Prediction
from hpcwatch.analysis.findings import Directive
from hpcwatch.analysis.report import Report
from hpcwatch.base import reading
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.base.output import complain
from hpcwatch.cli import script_copies
from hpcwatch.cli.asking import is_confirmed
from hpcwatch.cluster.job_script import commands_hash, directives
from hpcwatch.cluster.schedulers import dialect
from hpcwatch.cluster.schedulers.request import UNSAID
from hpcwatch.cluster.start_estimate import Wish, starts
from hpcwatch.monitor import report as reading_reports
from hpcwatch.recording.previous_runs import latest
from hpcwatch.views.report.next_script import next_script
from hpcwatch.views.report.start import sentence

_MOST_BYTES = 16 << 20


class Copy(NamedTuple):
    """A script as it is to be submitted."""

    path: str
    is_wanted: bool
    """False if the user said no."""


def copy(script: str, scheduler: str) -> Copy:
    """Show what is suggested for a script, ask on a terminal, and write the edited copy.

    The script itself is not touched. Raises HpcwatchError if nothing is known to suggest.
    """
    try:
        text = reading.data(script, _MOST_BYTES).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise HpcwatchError(f"cannot read {clean(script)}", os_reason(error)) from None
    prefix = dialect(scheduler).requests.PREFIX
    made = _report_of(script, text, scheduler)
    changes = next_script(made).changes
    if not changes:
        complain(f"hpcwatch: run {made.run.id} suggests no change: {clean(script)} stays as it is")
        return Copy(script, True)
    if any(UNSAID in (change.new or "") for change in changes):
        hint = "change the numbers in your own lines"
        raise HpcwatchError(f"run {made.run.id} does not know all words of the request", hint)
    edited = applied(text, changes, prefix)
    _show(made, changes)
    if not _is_wanted(made, directives(text, prefix) or (), directives(edited, prefix) or ()):
        return Copy(script, False)
    return Copy(_written(script, edited), True)


def _report_of(script: str, text: str, scheduler: str) -> Report:
    """Return the report of the last run of these commands with this request."""
    digest, lines = commands_hash(text), directives(text, dialect(scheduler).requests.PREFIX)
    others = 0
    for directory, run in reversed(latest()):
        job = run.job
        if job is None or job.scheduler != scheduler or job.script_hash != digest:
            continue
        if job.script_lines != lines:
            others += 1
            continue
        made = reading_reports.load(directory)
        if made.prediction is not None:
            return made
    name = clean(script)
    if others:
        hint = "run it once as it is, or change it by hand: see hpcwatch report"
        raise HpcwatchError(f"the recorded runs of {name} requested something else", hint)
    hint = f"run it once as it is: hpcwatch submit {name}"
    raise HpcwatchError(f"no recorded run of {name} says what it needs", hint)


def applied(text: str, changes: Sequence[Directive], prefix: str) -> str:
    """Return a script's text with lines replaced, removed, or added below its directives."""
    lines = text.split("\n")
    for change in changes:
        place = next((at for at, line in enumerate(lines) if line.rstrip() == change.old), None)
        if place is not None:
            lines[place : place + 1] = [change.new] if change.new else []
        elif change.new:
            lines.insert(_end_of_head(lines, prefix), change.new)
    return "\n".join(lines)


def _end_of_head(lines: Sequence[str], prefix: str) -> int:
    """Return where a further directive can stand: below the last one above the first command."""
    end = 1 if lines and lines[0].startswith("#!") else 0
    for place, line in enumerate(lines):
        if line.startswith(prefix):
            end = place + 1
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return end


def _show(made: Report, changes: Sequence[Directive]) -> None:
    print(f"As run {made.run.id} suggests:")
    for change in changes:
        for sign, line in (("-", change.old), ("+", change.new)):
            if line:
                print(f"  {sign} {clean(line)}")
    for note in next_script(made).notes:
        print(f"  {clean(note)}")


def _is_wanted(made: Report, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Ask on a terminal, with the times at which both would start."""
    said = made.prediction
    if said is None or sys.stdin is None or not sys.stdin.isatty():
        return True
    print(when(made, said, old, new))
    return is_confirmed("Submit it as suggested?")


def when(made: Report, said: Prediction, old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """Say when the old and the new request would start; two questions to the scheduler at most."""
    job = made.run.job
    wishes = (Wish(old, said.requested), Wish(new, said.suggested))
    try:
        return sentence(starts(job.scheduler if job else "", wishes), time.time())
    except HpcwatchError as error:
        return f"When it would start is not known: {clean(str(error))}."


def _written(script: str, text: str) -> str:
    """Write the copy under the script's own name: the job's name may come from it."""
    path = os.path.join(script_copies.new_folder(script), os.path.basename(script))
    script_copies.write({path: text})
    return path
