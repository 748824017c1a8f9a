"""`hpcwatch runs`: list what was recorded."""

from __future__ import annotations

import shlex
import shutil
import sys
import time

from hpcwatch.cli.arguments import Parser
from hpcwatch.store import Run, list_runs, root
from hpcwatch.units import format_clock
from hpcwatch.views.text import clean, cut


def main(arguments: list[str]) -> int:
    """Print a line a run, the latest last."""
    parser = Parser(prog="hpcwatch runs", description="List the recorded runs, the latest last.")
    parser.parse_args(arguments)
    runs = list_runs()
    if not runs:
        print(f"No runs in {root()} yet; record one with: hpcwatch run -- COMMAND")
        return 0
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else 200
    longest = max(len(clean(run.id)) for _, run in runs)
    print(f"{'started':17}{'took':>9}  {'ended':10}{'run':{longest}}  command")
    for _, run in runs:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at_s))
        row = f"{started:17}{format_clock(run.wall_s):>9}  {_ended(run):10}"
        row += f"{clean(run.id):{longest}}  {clean(shlex.join(run.argv))}"
        print(cut(row, width))
    return 0


def _ended(run: Run) -> str:
    if run.ended_at_s is None:
        return "unfinished"
    if run.signal is not None:
        return f"signal {run.signal}"
    return f"exit {run.exit_code}" if run.exit_code else "ok"
