"""`hpcwatch demo [NAME]`: shows a recording that comes with hpcwatch, live or as a report."""

from __future__ import annotations

import os
from typing import NamedTuple

from hpcwatch.base import single_file
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import is_interactive
from hpcwatch.cli.arguments import Parser


class _Demo(NamedTuple):
    """A recording: what it shows, and at which time and speed its replay starts."""

    what: str
    at: str
    speed: str


DEMOS = {
    "idle-gpu": _Demo("a training that holds a second GPU and leaves it idle", "9:00", "20"),
    "memory": _Demo("a GPU whose memory fills up until little is left", "5:00", "20"),
    "throttling": _Demo("a GPU that gets too hot and slows down four ranks", "15:00", "20"),
}
"""Made by tests/driver/demos.py: invented jobs whose figures fit each other."""


def main(arguments: list[str]) -> int:
    """Show a recording; without a terminal, one picture of its end."""
    options = _parser().parse_args(arguments)
    if options.list:
        for name, demo in DEMOS.items():
            print(f"{name:12}{demo.what}")
        return 0
    if options.name not in DEMOS:
        hint = f"there are {', '.join(DEMOS)}"
        raise HpcwatchError(f"no demo {options.name}", hint, EXIT_USAGE)
    directory = _directory(options.name)
    if single_file.path() is not None:
        raise HpcwatchError("no recordings to show", single_file.LACKING_HINT, EXIT_FAILURE)
    if options.report or options.output is not None:
        from hpcwatch.cli import report

        where = [] if options.output is None else ["-o", options.output]
        return report.main([directory, *where, "--color", options.color])
    from hpcwatch.cli import replay

    if options.once or not is_interactive():
        return replay.main([directory, "--once", "--color", options.color])
    how = ["--at", DEMOS[options.name].at, "--speed", DEMOS[options.name].speed]
    return replay.main([directory, *how, "--color", options.color])


def _parser() -> Parser:
    parser = Parser(
        prog="hpcwatch demo",
        description="Show the live view and the report of a job on GPUs; needs no GPU. "
        "The jobs are invented.",
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        default="idle-gpu",
        help="the demo to show (default idle-gpu); see --list",
    )
    parser.add_argument("--list", action="store_true", help="list the demos")
    parser.add_argument(
        "--report", action="store_true", help="print its report instead of the live view"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write its report to FILE, such as report.html"
    )
    parser.add_argument("--once", action="store_true", help="print one picture and exit")
    parser.add_colour()
    return parser


def _directory(name: str) -> str:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(package, "demos", name)
