"""`hpcwatch runs`: list, find and remove what was recorded."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.cli import removal
from hpcwatch.cli.ages import DAY_S, age_s, since_s
from hpcwatch.cli.arguments import Parser
from hpcwatch.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.report import iso
from hpcwatch.runs_found import Found, Wanted, all_runs, found_at, how, older_than, select
from hpcwatch.store import find, root
from hpcwatch.views import runs_table
from hpcwatch.views.text import clean

_KINDS = ("run", "job", "sweep-task")
_CONFIGURED = "configured"


def main(arguments: list[str]) -> int:
    """List the runs that are asked for, or remove them."""
    options = _parser().parse_args(arguments)
    settings = config.load()
    if options.delete is not None:
        chosen = [found_at(find(which)) for which in options.delete]
        return removal.remove(list(dict.fromkeys(chosen)), options.yes, is_named=True)
    found = select(all_runs(), _wanted(options))
    if options.prune is not None:
        old = older_than(found, _prune_s(options.prune, settings.keep_days))
        return removal.remove(old, options.yes, is_named=False)
    if options.format == "json":
        print(json.dumps(_plain(found), indent=1, ensure_ascii=True))
        return 0
    _print(found, settings.keep_days)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="hpcwatch runs", description="List the recorded runs, the latest last, or remove some."
    )
    parser.add_argument("--name", metavar="GLOB", help="only runs of such a name: 'train*'")
    parser.add_argument("--job", metavar="ID", help="only recordings of a job")
    parser.add_argument(
        "--since", type=since_s, metavar="T", help="only runs begun since then: 7d, 2026-11-01"
    )
    parser.add_argument("--failed", action="store_true", help="only runs that ended badly")
    parser.add_argument(
        "--with-findings", action="store_true", help="only runs in which something was found"
    )
    parser.add_argument("--kind", choices=_KINDS, help="only runs of one kind")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--delete", nargs="+", metavar="RUN", help="remove these runs")
    parser.add_argument(
        "--prune",
        nargs="?",
        const=_CONFIGURED,
        metavar="AGE",
        help="remove runs older than 30d, 12h or 2w (default: storage.keep_days of the"
        " configuration); the filters above choose among them",
    )
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    return parser


def _wanted(options: argparse.Namespace) -> Wanted:
    return Wanted(
        name=options.name,
        job=options.job,
        since_s=options.since,
        is_failed=options.failed,
        has_findings=options.with_findings,
        kind=options.kind,
    )


def _prune_s(text: str, keep_days: float | None) -> float:
    """Return the age from which runs go. Raises HpcwatchError if none is known."""
    if text == _CONFIGURED:
        if keep_days is None:
            hint = "say --prune 30d, or set storage.keep_days"
            raise HpcwatchError("--prune lacks an age", hint, EXIT_USAGE)
        return keep_days * DAY_S
    try:
        return age_s(text)
    except argparse.ArgumentTypeError as error:
        raise HpcwatchError(f"argument --prune: {error}", "", EXIT_USAGE) from None


def _print(found: Sequence[Found], keep_days: float | None) -> None:
    if not found:
        if all_runs():
            print("No such runs; all of them: hpcwatch runs")
        else:
            print(f"No runs in {clean(root())} yet; record one with: hpcwatch run -- COMMAND")
        return
    for line in runs_table.lines(found, runs_table.width_of_terminal(sys.stdout)):
        print(line)
    old = older_than(found, keep_days * DAY_S) if keep_days is not None else []
    if old:
        named = "1 is" if len(old) == 1 else f"{len(old)} are"
        print(f"{named} older than {keep_days:g} days; remove with: hpcwatch runs --prune")


def _plain(found: Sequence[Found]) -> dict[str, object]:
    """Return the documented structure, version 1."""
    return {
        "schema_version": 1,
        "root": root(),
        "runs": [
            {
                "id": one.run.id,
                "name": one.run.name,
                "kind": one.run.kind,
                "argv": one.run.argv,
                "hosts": one.run.hosts,
                "job_id": one.run.job.id if one.run.job is not None else None,
                "started_at": iso(one.run.started_at_s),
                "ended_at": iso(one.run.ended_at_s),
                "wall_s": one.run.wall_s,
                "how": how(one.run),
                "exit_code": one.run.exit_code,
                "signal": one.run.signal,
                "size_bytes": one.size_bytes,
                "path": one.directory.path,
                "is_link": one.is_link,
            }
            for one in found
        ],
    }
