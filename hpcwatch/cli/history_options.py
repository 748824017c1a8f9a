"""The options of `hpcwatch jobs --since`: read, and checked before any accounts are asked."""

from __future__ import annotations

import argparse
import calendar
import re
import time
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NamedTuple

from hpcwatch.analysis.history_groups import KEYS
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli.arguments import Parser, since_s
from hpcwatch.cli.history_order import OF_JOBS
from hpcwatch.cluster.schedulers.history import PastJob, Wanted
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.cluster.schedulers.query import clean_user

BY_JOB = "job"
STATES = {
    "completed": JobState.COMPLETED,
    "failed": JobState.FAILED,
    "timeout": JobState.TIMEOUT,
    "oom": JobState.OUT_OF_MEMORY,
    "cancelled": JobState.CANCELLED,
    "node-failed": JobState.NODE_FAILED,
    "preempted": JobState.PREEMPTED,
    "running": JobState.RUNNING,
    "queued": JobState.QUEUED,
}
_OTHER_STATES = {"out_of_memory": "oom", "out-of-memory": "oom", "canceled": "cancelled"}
_OTHER_STATES |= {"node_fail": "node-failed", "pending": "queued"}
_NEEDS_SINCE = ("until", "account", "all", "state", "name", "by", "sort")
FORMATS = ("table", "csv", "ndjson")


class Chosen(NamedTuple):
    """What was asked for."""

    wanted: Wanted
    """Of whom, and since when."""
    states: frozenset[JobState]
    """Empty: all."""
    name: str | None
    by: str
    sort: str
    """Empty: each table's own order."""
    format: str

    def keeps(self, job: PastJob) -> bool:
        """Return whether a job is shown."""
        if self.states and not self.states & _states_of(job):
            return False
        return self.name is None or fnmatchcase(job.name or "", self.name)


def _states_of(job: PastJob) -> set[JobState]:
    """Return its state; a job of which a step was killed for its memory is found under oom too."""
    return {job.state, JobState.OUT_OF_MEMORY} if job.is_step_out_of_memory else {job.state}


def add(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "--since",
        metavar="T",
        help="jobs of the past from the scheduler's accounts, since then: 7d, 2026-11-01",
    )
    parser.add_argument("--until", metavar="T", help="with --since: those that began before T")
    parser.add_argument(
        "-A",
        "--account",
        nargs="+",
        metavar="ACCOUNT",
        help="with --since or --watch: all jobs of these accounts, not only mine",
    )
    parser.add_argument(
        "--all", action="store_true", help="with --since or --watch: everybody's jobs"
    )
    parser.add_argument(
        "--state",
        metavar="STATES",
        help=f"with --since: only jobs in these states, with commas between them: "
        f"{', '.join(STATES)}",
    )
    parser.add_argument("--name", metavar="GLOB", help="with --since: only names such as 'train*'")
    parser.add_argument(
        "--by",
        choices=(BY_JOB, *KEYS),
        metavar="WHAT",
        help=f"with --since: a line per {', '.join((BY_JOB, *KEYS))}, with the spread of time and"
        " memory (default: job)",
    )
    parser.add_argument(
        "--sort",
        choices=tuple(OF_JOBS),
        metavar="COLUMN",
        help=f"with --since: by one of {', '.join(OF_JOBS)}",
    )


def chosen(options: argparse.Namespace, own_user: str) -> Chosen | None:
    """Return what was asked for; None without --since. Raises HpcwatchError."""
    states = frozenset(map(_state, _words([options.state] if options.state else None)))
    if options.since is None:
        _require_since(options)
        return None
    if options.watch:
        hint = "say one of them"
        raise HpcwatchError("--watch shows running jobs, --since past ones", hint, EXIT_USAGE)
    users, accounts = whose(options, own_user)
    now_s = time.time()
    first_s = _moment("--since", options.since)
    last_s = _moment("--until", options.until) if options.until is not None else now_s
    if last_s <= first_s:
        when = "--until is not after --since" if options.until else "--since is not in the past"
        raise HpcwatchError(when, "give an earlier --since", EXIT_USAGE)
    return Chosen(
        Wanted(first_s, min(last_s, now_s), users, accounts),
        states=states,
        name=options.name,
        by=options.by or BY_JOB,
        sort=options.sort or "",
        format="table" if options.format == "text" else options.format,
    )


def whose(options: argparse.Namespace, own_user: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return users and accounts whose jobs are shown; both are empty for everybody's.

    Raises HpcwatchError.
    """
    given = [name for name in ("user", "account", "all") if getattr(options, name)]
    if len(given) > 1:
        flags = " and ".join(f"--{name}" for name in given)
        raise HpcwatchError(f"{flags} exclude each other", "give one of them", EXIT_USAGE)
    users = tuple(map(clean_user, _words(options.user)))
    accounts = tuple(map(_account, _words(options.account)))
    if not users and not accounts and not options.all:
        users = (clean_user(own_user),)
    return users, accounts


def _require_since(options: argparse.Namespace) -> None:
    of_watch = ("account", "all") if options.watch else ()
    given = [name for name in _NEEDS_SINCE if getattr(options, name) and name not in of_watch]
    if given or options.format in FORMATS[1:]:
        what = f"--{given[0]}" if given else f"--format {options.format}"
        hint = "say since when, such as --since 7d"
        raise HpcwatchError(f"{what} is about jobs of the past", hint, EXIT_USAGE)
    if options.user is not None and len(_words(options.user)) > 1 and not options.watch:
        hint = "name one, or say --since"
        raise HpcwatchError("the queue is listed for one user", hint, EXIT_USAGE)


def _words(given: Iterable[str] | None) -> list[str]:
    """Return what stands between commas and blanks."""
    return [word for text in given or () for word in text.split(",") if word.strip()]


_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}", re.ASCII)


def _account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise HpcwatchError(f"{text[:60]!r} is no account", "give its name", EXIT_USAGE)
    return text


def _state(text: str) -> JobState:
    word = text.strip().lower()
    word = _OTHER_STATES.get(word, word)
    return STATES[_one_of("--state", word, tuple(STATES))]


def _one_of(option: str, word: str, known: Iterable[str]) -> str:
    names = list(known)
    if word in names:
        return word
    hint = f"it is one of {', '.join(names)}"
    raise HpcwatchError(
        f"{option}: unknown {word[:60]!r}", nearest(word, names) or hint, EXIT_USAGE
    )


def nearest(word: str, names: Iterable[str]) -> str:
    """Return ``did you mean failed?``; empty if nothing is near."""
    near = get_close_matches(word.lower(), list(names), 1)
    return f"did you mean {near[0]}?" if near else ""


def _moment(option: str, text: str) -> float:
    try:
        return since_s(text.strip())
    except argparse.ArgumentTypeError as error:
        near = _near_time(text.strip().lower())
        what, _, hint = str(error).partition(": ")
        hint = f"did you mean {near}?" if near else hint
        raise HpcwatchError(f"{option}: {what}", hint, EXIT_USAGE) from None


_UNITS = {"sec": "s", "min": "m", "hour": "h", "day": "d", "week": "w"}
_WORDS = {"today": 0, "yesterday": 1}


def _near_time(text: str) -> str:
    """Return what was meant by a time that is none: ``7d`` for ``7 days``."""
    if text in _WORDS:
        day = time.localtime(time.time() - _WORDS[text] * 86400)
        return time.strftime("%Y-%m-%d", day)
    age = re.fullmatch(r"([0-9]{1,6})[ _-]*([a-z]+)", text)
    if age:
        many, unit = int(age[1]), age[2]
        for word, letter in _UNITS.items():
            if unit.startswith(word) or unit == letter:
                return f"{many}{letter}"
        if unit.startswith(("mo", "y")):
            return f"{many * (30 if unit.startswith('mo') else 365)}d"
    date = re.match(r"([0-9]{4})[-/.]?([0-9]{1,2})[-/.]?([0-9]{1,2})", text)
    if date and int(date[1]) >= 1970:
        year, month = int(date[1]), min(max(int(date[2]), 1), 12)
        day_of_month = min(max(int(date[3]), 1), calendar.monthrange(year, month)[1])
        return f"{year:04}-{month:02}-{day_of_month:02}"
    return ""
