"""`hpcwatch report [RUN]`: print a run's report again."""

from __future__ import annotations

import os
import sys

from hpcwatch import config
from hpcwatch import report as reports
from hpcwatch.cli.arguments import Parser
from hpcwatch.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.report_json import to_json
from hpcwatch.store import Run, RunDirectory, find
from hpcwatch.timeline import Timeline
from hpcwatch.views import terminal
from hpcwatch.views.text import columns_of, wants_colour


def main(arguments: list[str]) -> int:
    """Print the report of a run."""
    parser = Parser(prog="hpcwatch report", description="Print what a run used.")
    parser.add_argument(
        "run",
        nargs="?",
        help="a run's id or name, a job's id, or a run directory (default: latest)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    options = parser.parse_args(arguments)
    made = load(find(options.run))
    if options.format == "json":
        print(to_json(made))
    else:
        coloured = wants_colour(sys.stdout, options.color)
        print(terminal.text(made, coloured, columns_of(sys.stdout)), end="")
    return 0


def load(directory: RunDirectory) -> reports.Report:
    """Make the report of a recorded run. Raises HpcwatchError if it is not readable."""
    run = directory.read_run()
    timeline = Timeline(run.interval_s, run.job)
    odd_lines = 0
    for sample in directory.read_samples():
        if sample is None:
            odd_lines += 1
        else:
            timeline.add(sample)
    if not timeline.hosts and odd_lines > 1:  # one line may be torn, all of them are not ours
        hint = f"none of its {odd_lines} lines is a sample"
        raise HpcwatchError(f"{directory.path}: not a recording of hpcwatch", hint, EXIT_USAGE)
    return reports.build(
        run,
        timeline,
        directory.read_events(),
        odd_lines,
        config.load().thresholds,
        is_running=_is_monitored(run),
    )


def _is_monitored(run: Run) -> bool | None:
    """Tell whether a run's monitor still lives; None if it ran on another host."""
    if run.hosts != [os.uname().nodename]:
        return None
    try:
        with open(f"/proc/{run.monitor_pid}/cmdline", "rb") as stream:
            return b"hpcwatch" in stream.read()
    except OSError:
        return False
