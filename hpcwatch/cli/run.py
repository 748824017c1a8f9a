"""`hpcwatch run -- CMD`: run a program under the monitor."""

from __future__ import annotations

import os
import threading

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.monitor.run_options import RunOptions

_PATIENCE_S = 60.0

_EXIT_FOUND = 3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cli.arguments import Parser
    from hpcwatch.cli.reporting import Wanted
    from hpcwatch.launch.program import Program
    from hpcwatch.monitor.run import Observer


class Options(RunOptions):
    """What `hpcwatch run` is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.view = "auto"
        self.color = "auto"
        self.report: list[Wanted] = []
        self.fail_on: str | None = None
        self.command: list[str] = []


def _parser() -> Parser:
    from hpcwatch.cli.arguments import Parser
    from hpcwatch.cli.reporting import HELP, wanted

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
        help="what to show meanwhile: a panel in the terminal's bottom rows, a line an interval,"
        " or nothing (auto: the panel on a terminal, else nothing)",
    )
    parser.add_colour()
    parser.add_argument(
        "--nodes",
        choices=("all", "local"),
        default="all",
        help="in a job of several nodes: watch all of them, or this one only",
    )
    parser.add_argument(
        "--report", action="append", type=wanted, metavar="FORMAT[:FILE]", default=[], help=HELP
    )
    parser.add_argument(
        "--fail-on",
        choices=("warning", "critical"),
        help=f"exit with {_EXIT_FOUND} if the program succeeds and a finding is that severe",
    )
    return parser


def parse(arguments: list[str]) -> Options:
    """Split our options from the program's words. Raises HpcwatchError."""
    split = _first_word(arguments)
    options = Options()
    if split:  # else argparse, a third of the time to the program's start, is not even imported
        _parser().parse_args(arguments[:split], options)
    options.command = arguments[split:]
    if options.command[:1] == ["--"]:
        del options.command[0]
    if not options.command or not options.command[0]:
        raise HpcwatchError("no command to run", "say: hpcwatch run -- python train.py", EXIT_USAGE)
    return options


def _first_word(arguments: list[str]) -> int:
    """Return where the program's words begin: at ``--``, or at the first that is no option."""
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--" or not word.startswith("-"):
            break
        # Each of our options takes a value, in the same word or in the next one.
        position += 1 if "=" in word or word in ("-h", "--help") else 2
    return min(position, len(arguments))


def main(arguments: list[str]) -> int:
    """Run the program and return its exit code."""
    options = parse(arguments)
    from hpcwatch.launch.program import CannotStartError, Program

    try:
        program = Program(options.command)
    except CannotStartError as error:
        from hpcwatch.base.clean import clean

        _say(f"cannot run {clean(options.command[0])}: {error}")
        return error.exit_code
    watch = Watch(options, program)
    for number in program.wait(watch.suspend, watch.resume):
        watch.signal_arrived(number)
    assert program.exit_status is not None
    code = os.waitstatus_to_exitcode(program.exit_status)
    exit_code = 128 - code if code < 0 else code
    program.end(leave=lambda: os._exit(exit_code))
    watch.finish()
    if exit_code == 0 and options.fail_on is not None:
        return watch.judged(options.fail_on)
    return exit_code


class Watch:
    """The observer, set up on a thread of its own, so that this one waits for the program at once.

    If it cannot be set up, the program runs unobserved.
    """

    def __init__(self, options: Options, program: Program) -> None:
        self._options = options
        self._observer: Observer | None = None
        self._thread = threading.Thread(
            target=self._set_up, args=(program,), name="hpcwatch-setup", daemon=True
        )
        self._thread.start()

    def _set_up(self, program: Program) -> None:
        try:
            from hpcwatch.cli.display import opener
            from hpcwatch.monitor.run import Observer

            opened = opener(self._options.view, self._options.color)
            self._observer = Observer(self._options, program, opened)
            self._observer.start()
        except BaseException as error:
            _say(f"cannot watch the program, it runs on: {type(error).__name__}: {error}")

    def suspend(self) -> None:
        """Clear the view before we stop with the program."""
        if self._observer is not None:
            self._observer.suspend()

    def resume(self) -> None:
        """Show the view again."""
        if self._observer is not None:
            self._observer.resume()

    def signal_arrived(self, number: int) -> None:
        """Mark a signal in the recording."""
        if self._observer is not None:
            self._observer.signal_arrived(number)

    def finish(self) -> None:
        """Report. The program has ended, and its exit code must not wait for a hung file system."""
        thread = threading.Thread(target=self._finish, name="hpcwatch-report", daemon=True)
        thread.start()
        thread.join(_PATIENCE_S)
        if thread.is_alive():
            _say(f"no report after {_PATIENCE_S:.0f} s: a file system does not answer")

    def judged(self, severity: str) -> int:
        """Return the exit code of a program that succeeded, which findings may change."""
        count = self._observer.count_findings(severity) if self._observer is not None else None
        if count is None:
            _say("--fail-on cannot be judged: there is no report")
            return 0
        if count:
            named = f"{count} finding{'s' * (count != 1)}"
            _say(f"{named} at --fail-on {severity} or worse: exit code {_EXIT_FOUND}")
        return _EXIT_FOUND if count else 0

    def _finish(self) -> None:
        self._thread.join()
        observer = self._observer
        if observer is None:
            return
        observer.finish()
        made = observer.made
        if made is not None:
            from hpcwatch.cli.program_report import show

            observer.guarded("no report", lambda: show(made, self._options, observer))


def _say(message: str) -> None:
    from hpcwatch.base.output import complain

    complain(f"hpcwatch: {message}")
