"""`hpcwatch advice [NAME]`: whether earlier advice was followed, and whether it held."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from hpcwatch.analysis.advice_track import Track, tracks
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli.arguments import Parser
from hpcwatch.monitor.report import past_of
from hpcwatch.recording.lookup import require_readable_root
from hpcwatch.recording.previous_runs import latest
from hpcwatch.recording.store import Run
from hpcwatch.views import advice as view
from hpcwatch.views.text import columns_of


def main(arguments: list[str]) -> int:
    """Print the track record of all works, or run by run of those of one name."""
    parser = Parser(
        prog="hpcwatch advice",
        description="Show whether earlier advice was followed, whether its predictions held, and "
        "what it has saved so far, as measured in the recorded runs.",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="the name of runs, as in `hpcwatch runs`, or an id"
    )
    parser.add_format("text", "json")
    options = parser.parse_args(arguments)
    every = tracks([one for pair in latest() if (one := past_of(*pair)) is not None])
    if not every:
        require_readable_root()
    found = every if options.name is None else _called(every, options.name)
    if options.format == "json":
        print(json.dumps(view.to_plain(found), indent=1, ensure_ascii=True))
        return 0
    width = columns_of(sys.stdout)
    lines = view.summary(found) if options.name is None else view.details(found, width)
    print("\n".join(lines))
    return 0


def _called(every: Sequence[Track], name: str) -> list[Track]:
    """Return the works of that name, or the one that a run belongs to. Raises HpcwatchError."""
    found = [track for track in every if track.work.name == name]
    if not found:
        found = [
            track
            for track in every
            if any(step.past.run.id == name or _is_job(step.past.run, name) for step in track.steps)
        ]
    if found:
        return found
    names = sorted({track.work.name for track in every})
    near = get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {clean(near[0])}?" if near else "see: hpcwatch advice"
    if not names:
        hint = view.NONE
    raise HpcwatchError(f"no recorded run in a job is called {clean(name)}", hint, EXIT_USAGE)


def _is_job(run: Run, name: str) -> bool:
    return run.job is not None and run.job.is_called(name)
