"""`hpcwatch jobs`: all my jobs in one table, with --since those of the past (`history`)."""

from __future__ import annotations

import argparse
import os
import sys
import time

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.cli import history_options
from hpcwatch.cli.accounting_site import memory_caveat_of
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.jobs_rows import enriched, rows_of
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers import NAMES
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.query import clean_user
from hpcwatch.probe.listing import login_name
from hpcwatch.views.jobs import jobs_table, to_json
from hpcwatch.views.jobs.jobs_table import ordered
from hpcwatch.views.text import columns_of, render, wants_colour, wrapped


def main(arguments: list[str]) -> int:
    """Print a line per job, with its flags."""
    options = _parser().parse_args(arguments)
    me = login_name(os.getuid())
    past = history_options.chosen(options, me)
    if past is not None:
        from hpcwatch.cli.history import print_past

        return print_past(past, options.scheduler)
    if options.watch or options.probe:
        from hpcwatch.cli import jobs_watch

        return jobs_watch.show(options, *history_options.whose(options, me))
    _print(clean_user(options.user[0] if options.user is not None else me), options)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="hpcwatch jobs",
        description="All my jobs: what they requested and use, when they start or end, and why "
        "they wait. The use comes from the scheduler's own accounting; for more, run: hpcwatch "
        "job. With --since, jobs of the past: what they used of what they requested.",
    )
    parser.add_argument(
        "-u", "--user", nargs="+", metavar="USER", help="whose jobs (default: mine)"
    )
    history_options.add(parser)
    parser.add_argument(
        "--watch", action="store_true", help="a live table of the running jobs, on a terminal"
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="with --watch: read the nodes of the first running jobs, too (key p: of one job)",
    )
    parser.add_scheduler(NAMES)
    parser.add_format("text", "json", *history_options.FORMATS)
    parser.add_colour()
    return parser


def _print(user: str, options: argparse.Namespace) -> None:
    """Print a user's present jobs."""
    settings = config.load()
    asked = client.inquiry(options.scheduler or settings.scheduler)
    reply = asked.jobs(user)
    jobs, left_count = enriched(asked, ordered(reply.value))
    now_s = time.time()
    rows = rows_of(jobs, now_s, settings)
    if options.format == "json":
        caveat = memory_caveat_of(jobs)
        print(to_json.to_json(user, asked.scheduler.name, rows, now_s, caveat))
        return
    if not rows:
        print(_nothing(user, asked.scheduler.name, is_mine=options.user is None))
        return
    coloured = wants_colour(sys.stdout, options.color)
    title = f"{clean(user)} on {asked.scheduler.name}"
    width = columns_of(sys.stdout)
    for line in jobs_table.lines(title, rows, now_s, width):
        print(render(line, coloured).rstrip())
    for note in _notes(asked, left_count, memory_caveat_of(jobs)):
        print(*wrapped(note, width), sep="\n")


def _notes(asked: Inquiry, left_count: int, caveat: str) -> list[str]:
    """Say what the table lacks, and why, and what its memory may hold."""
    notes = [caveat] if caveat else []
    if left_count:
        noun = "job" if left_count == 1 else "jobs"
        more = f"why {left_count} more {noun} wait{'s' * (left_count == 1)}"
        notes.append(f"Not queried for {more}, or when: see hpcwatch job ID.")
    if asked.trouble:
        notes.append(f"It is unknown why jobs wait: {clean(asked.trouble)}")
    return ["", *notes] if notes else []


def _nothing(user: str, scheduler: str, is_mine: bool) -> str:
    said = f"{user} has no running or pending jobs on {scheduler}"
    return f"{said}." if is_mine else f"{said}, or {scheduler} does not show them to you."
