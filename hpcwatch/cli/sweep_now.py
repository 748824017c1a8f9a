"""`hpcwatch sweep show`: a sweep as it is now, whoever runs it."""

from __future__ import annotations

from hpcwatch import config
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli import sweep_end
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.sweep_options import add_results
from hpcwatch.cli.sweep_show import print_outcome
from hpcwatch.sweep import array, array_element, best, folders, outcome, plan
from hpcwatch.sweep.array_state import Asking, State
from hpcwatch.sweep.on_disk import Follower
from hpcwatch.sweep.picture import Picture


def main(arguments: list[str]) -> int:
    """Show the latest sweep, or the latest of a name or id."""
    parser = Parser(
        prog="hpcwatch sweep show",
        usage="hpcwatch sweep show [options] [NAME]",
        description="Show a sweep as it is now: what is done, runs, waits and failed.",
    )
    add_results(parser)
    parser.add_argument("name", nargs="?", metavar="NAME", help="its name or id (default: latest)")
    options = parser.parse_args(arguments)
    if options.best is not None:
        best.parse(options.best)
    settings = config.load()
    found = _called(options.name)
    follower = Follower(found, plan.read_tasks(found.folder))
    picture, states = look(found, follower, Asking(settings.scheduler))
    print_outcome(outcome.of_picture(picture), options, settings.thresholds)
    sweep_end.say_now(picture, states)
    return 0


def _called(name: str | None) -> folders.Found:
    """Return the latest sweep, or the latest of a name or id. Raises HpcwatchError."""
    refused: list[str] = []
    for found in reversed(folders.every(refused.append)):
        if name is None or name in (found.plan.name, found.plan.id):
            return found
    what = f"no sweep called {name}" if name else "no sweep"
    hint = "hpcwatch runs lists them" if name else "hpcwatch sweep starts one"
    if refused:
        hint = refused[0]
    raise HpcwatchError(f"{what} in {folders.root()}", hint, EXIT_USAGE)


def look(found: folders.Found, follower: Follower, asking: Asking) -> tuple[Picture, list[State]]:
    """Return a sweep's picture, and what the scheduler says of its job arrays.

    Where all is over the stored environment is removed: it may hold secrets.
    """
    known = follower.attempts()
    states: list[State] = []
    if array.every(found.folder):
        states = asking.states(found.folder, known)
        if not states:
            array_element.forget_environment(found.folder)
    return follower.picture(states), states
