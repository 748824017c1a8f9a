"""`hpcwatch completion SHELL`: a script that makes the shell complete hpcwatch's arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.shells import STUBS, stub
from hpcwatch.recording.lookup import run_names
from hpcwatch.recording.store import RUN_FILE, RunDirectory, root

_MOST = 500
"""At most this many of the latest runs are offered: a person waits for the answer."""
# Shells expand what they are offered, so no character with a meaning to a shell may be in it.
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_JOB = re.compile(r"[0-9][A-Za-z0-9._+\[\]-]*")


def main(arguments: list[str]) -> int:
    """Print the script, or the completions that it requests."""
    if arguments[:2] == ["--complete", "--"]:
        _answer(arguments[2:])
        return 0
    parser = Parser(
        prog="hpcwatch completion",
        description="Print a completion script: hpcwatch completion bash >"
        " ~/.local/share/bash-completion/completions/hpcwatch; for zsh a file _hpcwatch in a"
        " folder of $fpath; for fish ~/.config/fish/completions/hpcwatch.fish.",
    )
    parser.add_argument("shell", choices=tuple(STUBS), metavar="SHELL", help="bash, zsh or fish")
    print(stub(parser.parse_args(arguments).shell), end="")
    return 0


def _answer(words: list[str]) -> None:
    from hpcwatch.cli.completer import offers

    for offer in offers(words, _words):
        print(f"{offer.word}\t{' '.join(offer.what.split())}" if offer.what else offer.word)


def _words(kind: str) -> list[str]:
    if kind == "names":
        from hpcwatch.cli import explain

        return explain.names()
    if kind == "states":
        from hpcwatch.cli.history_options import STATES

        return list(STATES)
    if kind == "sweeps":
        return _latest(_sweeps())
    ids = _latest(run_names())
    names, jobs = _names_and_jobs(ids)
    if kind == "works":
        return names
    if kind == "runs":
        return list(dict.fromkeys([*(["latest"] if ids else []), *ids, *names, *jobs]))
    from hpcwatch.cli.queued import my_jobs

    mine = [job_id for job_id in my_jobs() if _JOB.fullmatch(job_id)]
    return list(dict.fromkeys([*mine, *jobs]))


def _latest(names: Iterable[str]) -> list[str]:
    """Return the names that are ids of runs or sweeps, the latest first."""
    return sorted((name for name in names if _RUN.fullmatch(name)), reverse=True)[:_MOST]


def _sweeps() -> list[str]:
    from hpcwatch.sweep import folders

    try:
        return os.listdir(folders.root())
    except OSError:
        return []


def _names_and_jobs(ids: list[str]) -> tuple[list[str], list[str]]:
    """Return the names of runs, and the ids of their jobs; each once, the latest first."""
    names: dict[str, None] = {}
    jobs: dict[str, None] = {}
    for one in ids:
        try:
            run = RunDirectory(os.path.join(root(), one)).part(RUN_FILE).document()
            name, job = run["name"], run.get("job") or {}
            job_id = job.get("id")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if isinstance(name, str) and _RUN.fullmatch(name):
            names[name] = None
        if isinstance(job_id, str) and _JOB.fullmatch(job_id):
            jobs[job_id] = None
    return list(names), list(jobs)
