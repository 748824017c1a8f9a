"""The options of commands that watch nodes: `job`, `submit`, `top`."""

from __future__ import annotations

import argparse

from hpcwatch.base.output import is_interactive
from hpcwatch.cli import export_options, notify_options, reporting
from hpcwatch.cli.arguments import Parser
from hpcwatch.cluster.schedulers import NAMES
from hpcwatch.cluster.transport.ways import NAMES as WAYS


def add_options(parser: Parser) -> None:
    """Add the options of `job` and `submit`."""
    add_view_options(parser)
    notify_options.add(parser)
    parser.add_scheduler(NAMES)
    parser.add_argument(
        "--user", help="the user whose processes are counted (default: the job's owner)"
    )
    parser.add_argument(
        "--report",
        action="append",
        type=reporting.wanted,
        metavar="FORMAT[:FILE]",
        default=[],
        help=reporting.help_text(),
    )
    parser.add_argument(
        "--no-record",
        action="store_true",
        help="do not record, so that `report` has nothing to show",
    )
    export_options.add(parser)


def add_view_options(parser: Parser) -> None:
    """Add the options of all live views."""
    parser.add_argument("--once", action="store_true", help="print one picture and exit")
    parser.add_format("text", "json", "qshow")
    parser.add_interval()
    parser.add_argument("--transport", choices=WAYS, help="how to connect to nodes (default: auto)")
    parser.add_colour()


def is_one_picture(options: argparse.Namespace) -> bool:
    """Return True if one picture is requested or there is no terminal for a live view."""
    if options.once or options.format != "text":
        return True
    return not is_interactive()
