"""What may stand where in a command line: what all shells' scripts share. Pure."""

from __future__ import annotations

from hpcwatch.cli.arguments import Argument
from hpcwatch.cli.described import Command

_WORDS = {
    "RUN": "runs",
    "RUNS": "runs",
    "JOBID": "jobs",
    "JOB": "jobs",
    "ID": "jobs",
    "RULE": "names",
    "NAME": "names",
}
"""What a value is called -> what `hpcwatch completion --words` offers for it."""
_OF_EXPLAIN = "explain"  # elsewhere a NAME is one that the user makes up
_FILES = ("FILE", "SCRIPT")
_REPORT = "FORMAT[:FILE]"
FORMATS = ("text", "html:", "markdown:", "json:", "csv:")
_FOLDERS = ("DIR", "FOLDER", "DESTINATION")
_HOSTS = ("HOST", "HOSTS")
PROGRAMS = ("run", "sweep")
"""Commands that take a command line of somebody else."""


def kind_of(command: Command, argument: Argument) -> str:
    """Return what may stand there: words of ours, ``files``, ``folders``, ``hosts``, or nothing."""
    name = argument.metavar
    if name in _FILES:
        return "files"
    if name in _FOLDERS:
        return "folders"
    if name in _HOSTS:
        return "hosts"
    if name == "NAME" and (argument.flags or command.name != _OF_EXPLAIN):
        return ""
    return _WORDS.get(name, "")


def offered(argument: Argument) -> tuple[str, ...]:
    """Return the words of which one has to stand there; none if it may be any."""
    return FORMATS if argument.metavar == _REPORT else argument.choices


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.split())
