"""`hpcwatch replay RUN`: the live view over a recording."""

from __future__ import annotations

import argparse
import math
import sys

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import is_interactive
from hpcwatch.base.units import format_clock, parse_clock
from hpcwatch.cli.arguments import Parser
from hpcwatch.monitor.replay import Replayer
from hpcwatch.recording.lookup import find
from hpcwatch.recording.playback import SPEEDS, Clock, Recording
from hpcwatch.views.text import columns_of, wants_colour

_SHARE = 0.5  # of a core: nothing else runs meanwhile, and samples come at any speed


def main(arguments: list[str]) -> int:
    """Replay a recording; without a terminal, print one picture of it."""
    options = _parser().parse_args(arguments)
    directory = find(options.run)
    run = directory.read_run()
    recording = Recording(directory)
    begin_s = _begin_s(options.at, recording.length_s)
    is_once = options.once or not is_interactive()
    clock = Clock(recording.length_s, options.speed, is_paused=is_once)
    if begin_s is not None or is_once:
        clock.seek(recording.length_s if begin_s is None else begin_s)
    replayer = Replayer(run, recording, directory.read_events(), config.load_to_read(), clock)
    if not is_once:
        from hpcwatch.views.live.view import LiveView

        view = LiveView(replayer.picture, replayer, options.color, None, replayer, _SHARE)
        return view.run()
    from hpcwatch.views.live.once import text_of

    picture = replayer.picture(is_patient=True)
    length = format_clock(recording.length_s)
    print(f"{clean(run.id)} at {format_clock(clock.at_s)} of {length}")
    coloured = wants_colour(sys.stdout, options.color)
    print(text_of(picture, columns_of(sys.stdout), None, coloured), end="")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="hpcwatch replay",
        description="Replay a recording in the live view; keys pause, seek and change the speed.",
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="a run's id or name, a job's id, or a run directory (default: latest)",
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="N",
        help="play at N times the original speed (default 1)",
    )
    parser.add_argument(
        "--at",
        type=_time,
        metavar="T",
        help="start at time T of the recording, such as 90, 3:12, 2:0:0",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="print one picture and exit: of the end, or of --at",
    )
    parser.add_colour()
    return parser


def _speed(text: str) -> float:
    try:
        speed = float(text.removeprefix("x").removeprefix("×"))
    except ValueError:
        speed = math.nan
    if not SPEEDS[0] <= speed <= SPEEDS[-1]:
        wanted = f"give a number between {SPEEDS[0]:g} and {SPEEDS[-1]:g}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed: {wanted}")
    return speed


def _time(text: str) -> int:
    at_s = parse_clock(text)
    if at_s is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: give seconds, or 3:12, or 2:41:07"
        )
    return at_s


def _begin_s(asked_s: int | None, length_s: float) -> float | None:
    """Return the time to start at, in s. Raises HpcwatchError if the recording is shorter."""
    if asked_s is not None and asked_s > length_s:
        message = f"--at {format_clock(asked_s)} is beyond the end"
        hint = f"the recording is {format_clock(length_s)} long"
        raise HpcwatchError(message, hint, EXIT_USAGE)
    return asked_s
