"""`hpcwatch report [RUN]`: a run's report, in one of its formats."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from hpcwatch.analysis.findings import rules
from hpcwatch.analysis.findings.header import request
from hpcwatch.analysis.report import Report
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli import array_answer
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.reporting import unwritable
from hpcwatch.monitor import report as reading
from hpcwatch.recording.lookup import find
from hpcwatch.recording.previous_runs import earlier_runs
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.report import formats, terminal
from hpcwatch.views.text import columns_of, wants_colour

_PDF = "pdf"
"""No format of ``run --report``: at the end of a job no browser is started."""
_OPENMETRICS = "openmetrics"
"""Made of the recording and not of the report, which has rates where Prometheus needs counters."""
_OWN_ENDINGS = {".pdf": _PDF, ".om": _OPENMETRICS, ".openmetrics": _OPENMETRICS}
"""Of files in the formats that only this command writes."""
_FORMATS = (*formats.FORMATS, _OPENMETRICS, _PDF)


def main(arguments: list[str]) -> int:
    """Print the report of a run, or write it to a file."""
    options = _parser().parse_args(arguments)
    path = _checked(options.output)
    name = _format(options, path)
    _check_rules(options.silence)
    if name == _OPENMETRICS:
        _give_openmetrics(options, path)
        return 0
    found = _found(options, is_plain=name == "text" and path is None)
    if isinstance(found, str):
        print(found, end="")
        return 0
    report = _without(found, options.silence)
    if name == _PDF:
        _write_pdf(report, path or "")
    elif path is not None:
        _write(report, name, path)
    elif name == "text":
        coloured = wants_colour(sys.stdout, options.color)
        print(terminal.text(report, coloured, columns_of(sys.stdout)), end="")
        if options.when:
            print(_when(report))
    else:
        for piece in formats.pieces(report, name, earlier_runs(report.run)):
            print(piece, end="")
    return 0


def _format(options: argparse.Namespace, path: str | None) -> str:
    """Return the format that is requested, or that the file's ending means.

    Raises HpcwatchError if it cannot go where it is to go.
    """
    name = options.format or (_format_of(path) if path is not None else "text")
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    if name == "html" and path is None and is_terminal:
        hint = "say: hpcwatch report -o report.html"
        raise HpcwatchError("HTML is for a browser, not for a terminal", hint, EXIT_USAGE)
    if name == _PDF and path is None:
        raise HpcwatchError("a PDF is for a file", "say: hpcwatch report -o report.pdf", EXIT_USAGE)
    if options.when and (name != "text" or path is not None):
        raise _no_when("it goes with the report as text", "leave out --format and -o")
    return str(name)


def _format_of(path: str) -> str:
    """Return the format that a file's ending means. Raises HpcwatchError if it means none."""
    ending = os.path.splitext(path)[1].lower()
    known = {one: name for name, form in formats.FORMATS.items() for one in form.endings}
    name = {**known, **_OWN_ENDINGS}.get(ending)
    if name is None:
        hint = f"say --format {'|'.join(_FORMATS)}, or name it like report.html"
        raise HpcwatchError(f"{path}: no format is known by this name", hint, EXIT_USAGE)
    return name


def _found(options: argparse.Namespace, is_plain: bool) -> Report | str:
    """Return the report of a run or a job; of an array its answer as text, if that ``is_plain``.

    Raises HpcwatchError.
    """
    array = array_answer.of_recordings(options.run) if options.run and is_plain else None
    found, is_own = _loaded(options.run) if array is None else (array, True)
    if isinstance(found, str) and not is_plain:
        hint = "name one of its tasks, or leave out --format and -o"
        raise HpcwatchError(f"{options.run} is an array, not one job", hint, EXIT_USAGE)
    if options.when and isinstance(found, str):
        raise _no_when("an array has many starts", "name one of its tasks")
    if options.when and not is_own:
        raise _no_when("the recording is another user's", "leave out --when")
    return found


def _loaded(which: str | None) -> tuple[Report | str, bool]:
    """Return a run's report, else what its scheduler's accounting knows; and if it is our own."""
    try:
        directory = find(which)
        made = reading.load(directory)
    except HpcwatchError as error:
        from hpcwatch.cli import unwatched

        return unwatched.answer(which, _unrecorded_task(which) or error), True
    if made.run.kind == "job":
        from hpcwatch.cli import watched_in_part

        made = watched_in_part.completed(directory, made)
    return made, _is_own(directory)


def _unrecorded_task(which: str | None) -> HpcwatchError | None:
    """Return what to say of a sweep's task that has no recording; None of any other word."""
    from hpcwatch.sweep import recorded

    name, _, number = (which or "").rpartition("-")
    if not (number.isascii() and number.isdigit() and len(number) < 8):
        return None
    sweep = recorded.called(name)
    if sweep is None or not 1 <= int(number) <= sweep.plan.tasks_count:
        return None
    said = f"task {number} of the sweep {name} has no recording: it was too short, or has not run"
    return HpcwatchError(said, f"see: hpcwatch sweep show {sweep.plan.id}", EXIT_USAGE)


def _parser() -> Parser:
    parser = Parser(
        prog="hpcwatch report", description="Print the report of a run, or write it to a file."
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="a run's id or name, a job's id, or a run directory (default: latest); of a job that"
        " nobody watched the report is from its scheduler's accounting",
    )
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        help="the output format; csv is the time series, openmetrics the same for Prometheus,"
        " pdf needs chromium (default: by FILE's ending, else text)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write to FILE, such as report.html; - is standard output",
    )
    parser.add_argument(
        "--silence",
        action="append",
        default=[],
        metavar="RULE",
        help="leave out the findings of a rule; may be given several times",
    )
    parser.add_argument(
        "--when",
        action="store_true",
        help="ask the scheduler when the job would start as requested, and as suggested",
    )
    parser.add_colour()
    return parser


def _no_when(why: str, hint: str) -> HpcwatchError:
    return HpcwatchError(f"no --when: {why}", hint, EXIT_USAGE)


def _is_own(directory: RunDirectory) -> bool:
    """Return True if we made the recording: its lines become options of a command of ours."""
    try:
        return os.stat(directory.place).st_uid == os.getuid()
    except OSError:
        return True  # it cannot be read either


def _when(report: Report) -> str:
    """Say when the job would start as it was requested, and as it is suggested."""
    from hpcwatch.cli.suggested import when

    advice, said, job = report.advice, report.prediction, report.run.job
    if job is None or advice is None or said is None or not advice.changes:
        return "No other request is suggested, so there is no other start to compare."
    old = request(job, report.run.environment).lines
    if not advice.lines:
        return "When it would start is not known: the whole request is not known."
    return when(report, said, old, advice.lines)


def _checked(path: str | None) -> str | None:
    """Return where to write, None for standard output. Raises HpcwatchError before any work."""
    if path is None or path == "-":
        return None
    refused = unwritable(path)
    if refused is not None:
        raise HpcwatchError(clean(refused))
    return path


def _check_rules(names: Sequence[str]) -> None:
    """Raise HpcwatchError for the first name that is not a rule."""
    for name in names:
        if name not in rules():
            from difflib import get_close_matches

            near = get_close_matches(name, rules(), 1)
            hint = f"did you mean {near[0]}?" if near else "see: hpcwatch explain"
            raise HpcwatchError(f"no rule {name}", hint, EXIT_USAGE)


def _without(report: Report, names: Sequence[str]) -> Report:
    kept = [finding for finding in report.findings if finding.rule not in names]
    return report._replace(findings=kept)


def _write_pdf(report: Report, path: str) -> None:
    from hpcwatch.base.files import write
    from hpcwatch.cli.pdf import pdf

    page = "".join(formats.pieces(report, "html", earlier_runs(report.run)))
    write(path, [pdf(page)])
    if os.path.isfile(path):
        print(f"Report written to {clean(path)}")


def _give_openmetrics(options: argparse.Namespace, path: str | None) -> None:
    from hpcwatch.base.files import write
    from hpcwatch.export import past

    try:
        found = find(options.run)
    except HpcwatchError as error:
        hint = "only a recording can be written so; of a job that nobody watched, try .csv"
        raise HpcwatchError(error.message, hint, error.exit_code) from None
    pieces = past.pieces(found, options.silence)
    if path is None:
        for piece in pieces:
            print(piece, end="")
        return
    write(path, pieces)
    if os.path.isfile(path):
        print(f"Report written to {clean(path)}")


def _write(report: Report, name: str, path: str) -> None:
    from hpcwatch.base.files import write

    write(path, formats.pieces(report, name, earlier_runs(report.run)))
    if os.path.isfile(path):  # the reader of a pipe expects only the report
        print(f"Report written to {clean(path)}")
