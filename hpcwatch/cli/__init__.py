"""The command line: a table of commands, each imported only when it is used."""

from __future__ import annotations

import os
import sys

from hpcwatch import __version__
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain, flush, is_without_room, lost, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # without its enums, whose import delays the program by milliseconds

COMMANDS = {
    "run": "run a program under the monitor",
    "job": "every node of a job, live",
    "jobs": "my jobs: requested, used, flags, when they start or end",
    "top": "the same view of any hosts, without a job",
    "submit": "hand a script to the scheduler, then watch it",
    "cancel": "end a job, after showing what is lost",
    "sweep": "a command with many parameter combinations, on the job's nodes",
    "report": "what a run requested, what it used, what to change",
    "advice": "whether earlier advice was followed, and held, and what it saved",
    "export": "the numbers of running runs and jobs, for Prometheus",
    "replay": "the live view over a recording",
    "compare": "runs side by side, and what explains the difference",
    "runs": "list, find and remove the recorded runs",
    "notify": "where messages about runs and jobs go, and a test message",
    "config": "the settings in force, and where each value comes from",
    "completion": "make the shell complete commands, options, runs and jobs",
    "explain": "what a number or a finding means",
    "doctor": "check what hpcwatch needs here, and say what to do",
    "demo": "the live view and the report of a recorded job on GPUs",
    "trainers": "copy the MNIST programs into a folder, to try hpcwatch on",
}

USAGE = """\
usage: hpcwatch COMMAND ...

What your job really uses, while it runs and afterwards, and what to change.

{commands}

  hpcwatch run -- python mnist_cnn.py     try it on any program
  hpcwatch COMMAND --help                 the options of a command
  hpcwatch --version
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return _dispatch(arguments)
    except HpcwatchError as error:
        complain(f"hpcwatch: {_harmless(str(error))}")
        return error.exit_code
    except BrokenPipeError:  # the reader of our output has gone: there is nobody to report to
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        if not is_without_room(error):
            raise
        complain(lost(error))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing is to be said twice
        return 1


def _harmless(message: str) -> str:
    from hpcwatch.base.clean import clean

    return clean(message)


def _dispatch(arguments: list[str]) -> int:
    if not sys.platform.startswith("linux"):
        hint = "it reads /proc; run it on the cluster's Linux nodes"
        raise HpcwatchError(f"hpcwatch needs Linux, this is {sys.platform}", hint)
    first = arguments[0] if arguments else ""
    if first in ("", "-h", "--help", "help"):
        rows = "\n".join(f"  {name:12}{what}" for name, what in COMMANDS.items())
        print(USAGE.format(commands=rows), end="")
        return 0 if first else EXIT_USAGE
    if first in ("-V", "--version"):
        print(f"hpcwatch {__version__}")
        return 0
    if first not in COMMANDS:
        kind = "option" if first.startswith("-") else "command"
        raise HpcwatchError(f"no {kind} {first}", _nearest(first), EXIT_USAGE)
    # Not importlib.import_module: importlib takes longer to import than the command.
    code: int = __import__(f"hpcwatch.cli.{first}", fromlist=["main"]).main(arguments[1:])
    return code


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    known = ("--help", "--version") if word.startswith("-") else COMMANDS
    near = get_close_matches(word, known, 1)
    return f"did you mean {near[0]}?" if near else "see: hpcwatch --help"


def script() -> None:
    """Be the ``hpcwatch`` program.

    Ends without tearing the interpreter down: that takes milliseconds, and a thread may hang in
    a sick driver or file system.
    """
    # An interrupt while we still import should end us quietly, as it would any program.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    prepare()
    code = main()
    if not flush():
        code = code or 1
    os._exit(code)
