"""`hpcwatch run -- CMD`: run a program under the monitor."""

from __future__ import annotations

import gc
import os

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.monitor import RunOptions

_UNWATCHED_S = 0.02
"""A program that ends within this time is only waited for: what watching needs is not imported."""
_EXIT_FOUND = 3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cli.arguments import Parser
    from hpcwatch.cli.reporting import Wanted
    from hpcwatch.export.wanted import Wanted as Export
    from hpcwatch.launch.program import Program
    from hpcwatch.monitor.guard import Guard
    from hpcwatch.monitor.run import Observer


class Options(RunOptions):
    """The options of `hpcwatch run`."""

    def __init__(self) -> None:
        super().__init__()
        self.view = "auto"
        self.color = "auto"
        self.report: list[Wanted] = []
        self.fail_on: str | None = None
        self.quiet = False
        self.export: Export | None = None
        self.command: list[str] = []


def _parser() -> Parser:
    from hpcwatch.cli import export_options, notify_options
    from hpcwatch.cli.arguments import Parser

    parser = Parser(
        prog="hpcwatch run",
        usage="hpcwatch run [options] -- COMMAND [ARGUMENT ...]",
        description="Run a program under the monitor, which never disturbs it.",
    )
    parser.add_argument("--name", help="a name for the run (default: the program's)")
    parser.add_interval()
    parser.add_argument("--output", metavar="DIR", help="record in DIR, a new or empty folder")
    parser.add_argument(
        "--view",
        choices=("auto", "panel", "line", "none"),
        default="auto",
        help="what to show meanwhile: a panel in the terminal's bottom rows, a line per "
        "interval, or nothing (auto: the panel on a terminal, else nothing)",
    )
    parser.add_colour()
    parser.add_argument(
        "--nodes",
        choices=("all", "local"),
        default="all",
        help="in a job of several nodes: watch all of them, or only this one",
    )
    _add_reports(parser)
    notify_options.add(parser)
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="no live view, and no report on standard error; the run is still recorded",
    )
    export_options.add(parser)
    parser.add_argument("command", nargs="...", metavar="COMMAND", help="the program to run")
    return parser


def _add_reports(parser: Parser) -> None:
    from hpcwatch.cli.reporting import help_text, wanted

    parser.add_argument(
        "--report",
        action="append",
        type=wanted,
        metavar="FORMAT[:FILE]",
        default=[],
        help=help_text(),
    )
    parser.add_argument(
        "--fail-on",
        choices=("warning", "critical"),
        help=f"exit with {_EXIT_FOUND} if the program succeeds and a finding is at least "
        f"that severe",
    )


def parse(arguments: list[str]) -> Options:
    """Split our options from the program's words. Raises HpcwatchError."""
    options = Options()
    if arguments[:1] == ["--"] or (arguments and not arguments[0].startswith("-")):
        options.command = arguments  # argparse, half the time to the start, is not even imported
    else:
        _parser().parse_args(arguments, options)
        from hpcwatch.cli.export_options import wanted

        options.export = wanted(options)
    if options.command[:1] == ["--"]:
        options.command = options.command[1:]
    if not options.command or not options.command[0]:
        raise HpcwatchError("no command to run", "say: hpcwatch run -- python train.py", EXIT_USAGE)
    if options.cancel_if_idle is not None:
        from hpcwatch.cli.notify_options import check_inside

        check_inside()
    return options


def main(arguments: list[str]) -> int:
    """Run the program and return its exit code.

    Whatever else fails, the program is run and waited for, and its exit code is returned.
    """
    gc.disable()  # garbage collection after the imports takes a tenth of a short run's time
    options = parse(arguments)
    from hpcwatch.launch.spawn import CannotStartError

    try:
        program = _started(options.command)
    except CannotStartError as error:
        _say(f"cannot run {options.command[0]}: {error}")
        return error.exit_code
    try:
        return _watched(options, program)
    except (Exception, SystemExit):  # not even the guard works
        program.wait_plainly()
        return _exit_code(program)


def _exit_code(program: Program) -> int:
    assert program.exit_status is not None
    code = os.waitstatus_to_exitcode(program.exit_status)
    return 128 - code if code < 0 else code


def _watched(options: Options, program: Program) -> int:
    """Wait for the program, and watch it if possible; return our exit code."""
    program.settle()
    watched: list[Observer] = []
    guard = _guard(options, program, watched)
    if guard is None:
        list(program.wait(_nothing, _nothing))
    else:
        for number in program.wait(guard.suspend, guard.resume):
            guard.signal_arrived(number)
    exit_code = _exit_code(program)
    program.end(leave=lambda: os._exit(exit_code))
    return _reported(options, program, guard, watched, exit_code)


def _started(command: list[str]) -> Program:
    """Start the program; if no child process can be created, replace this process by it.

    Raises CannotStartError.
    """
    from hpcwatch.launch.spawn import NoProcessError, replace_us

    try:
        from hpcwatch.launch.program import CannotStartError, Program

        return Program(command)
    except NoProcessError as error:
        reason = str(error)
    except CannotStartError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
    _say(f"the program is not watched: {reason}")
    return replace_us(command)


def _guard(options: Options, program: Program, watched: list[Observer]) -> Guard | None:
    """Start watching the program; return None if that fails.

    The monitor is put into ``watched``.
    """
    try:
        from hpcwatch.monitor import guard

        def make() -> Observer:
            if program.exit_status is None:
                gc.enable()
            from hpcwatch.cli.program_report import Reporter, Shown

            shown = Shown(
                options.view, options.color, options.report, options.quiet, options.export
            )
            watched.append(Reporter(options, program, shown))
            return watched[0]

        return guard.Guard(make, _say, _UNWATCHED_S)
    except (Exception, SystemExit) as error:
        _say(f"the program is not watched: {type(error).__name__}: {error}")
        return None


def _reported(
    options: Options,
    program: Program,
    guard: Guard | None,
    watched: list[Observer],
    exit_code: int,
) -> int:
    """End the monitor; return the exit code, which --fail-on may change."""
    trouble = guard.finish() if guard is not None else "no monitor"
    if trouble is not None:
        wall_s = program.ended_uptime_s - program.started_uptime_s
        _say(f"no report ({trouble}): the program ended with {exit_code} after {wall_s:.1f} s")
    if exit_code == 0 and options.fail_on is not None:
        return _judged(watched[0] if watched and trouble is None else None, options.fail_on)
    return exit_code


def _judged(observer: Observer | None, severity: str) -> int:
    """Return the exit code of a program that succeeded; --fail-on may change it."""
    count = observer.count_findings(severity) if observer is not None else None
    if count is None:
        _say("--fail-on cannot be judged: there is no report")
        return 0
    if count:
        named = f"{count} finding{'s' * (count != 1)}"
        _say(f"{named} at --fail-on {severity} or worse: exit code {_EXIT_FOUND}")
    return _EXIT_FOUND if count else 0


def _nothing() -> None:
    """Do nothing."""


def _say(message: str) -> None:
    """Print a line on standard error, without waiting long for it. Any thread may call it."""
    try:
        from hpcwatch.monitor.standard_error import say

        say(message)
    except (Exception, SystemExit):  # noqa: S110 # there is no way left to say it
        pass
