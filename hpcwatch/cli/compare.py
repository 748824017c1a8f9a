"""`hpcwatch compare A B...`: runs side by side, and what explains the difference."""

from __future__ import annotations

import string
import sys

from hpcwatch import config
from hpcwatch.analysis.compare import compare
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli.arguments import Parser
from hpcwatch.monitor import report
from hpcwatch.recording.lookup import find
from hpcwatch.views.compare import text, to_json
from hpcwatch.views.text import columns_of, render, wants_colour

_MOST = len(string.ascii_uppercase)


def main(arguments: list[str]) -> int:
    """Print the runs' figures side by side; changes are relative to the first run."""
    parser = Parser(
        prog="hpcwatch compare",
        description="Show runs side by side: what changed since the first, and what explains it.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="as for `hpcwatch report`")
    parser.add_format("text", "json")
    parser.add_colour()
    options = parser.parse_args(arguments)
    if not 2 <= len(options.runs) <= _MOST:
        hint = "say: hpcwatch compare RUN RUN"
        message = f"compare takes from 2 to {_MOST} runs"
        raise HpcwatchError(message, hint, EXIT_USAGE)
    rates = config.load_to_read().rates
    compared = compare([report.load(find(which)) for which in options.runs], rates)
    if options.format == "json":
        print(to_json.to_json(compared, rates.unit))
        return 0
    coloured = wants_colour(sys.stdout, options.color)
    # In a pipe nothing is cut, unless COLUMNS says how wide it is.
    width = columns_of(sys.stdout, 0) or None
    for line in text.lines(compared, width, rates):
        print(render(line, coloured).rstrip())
    return 0
