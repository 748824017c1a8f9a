"""Requests as people write them, and a check of lines against PBS's documented rules."""

from __future__ import annotations

from typing import Any, NamedTuple

from hpcwatch.analysis.findings.header import edited, request
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers import Job


class Case(NamedTuple):
    """Lines of a script, the job they made, what to ask for instead, and the lines for that."""

    lines: tuple[str, ...]
    job: dict[str, Any]
    change: dict[str, Any]
    expected: tuple[str, ...]
    kept: tuple[str, ...] = ()
    """Subjects that cannot be changed in these lines."""


def gib(count: float) -> int:
    return round(count * GIB)


def job_of(scheduler: str, case: Case, prefix: str) -> Job:
    """The job of a case, its script read."""
    values = {"nodes": ("n1",), **case.job}
    lines = tuple(f"{prefix} {line}" for line in case.lines)
    return Job("1", scheduler, script_lines=lines, submit_arguments=None, **values)


def check(scheduler: str, case: Case, prefix: str) -> None:
    """Edit a case's lines and compare."""
    old = job_of(scheduler, case, prefix)
    told = request(old)
    assert (told.lines, told.gaps) == (old.script_lines, ())
    made = edited(old, old._replace(**case.change))
    assert [one.subject for one in made.kept] == list(case.kept)
    assert made.lines == tuple(f"{prefix} {line}" for line in case.expected)
    # What was not to change is the same to the letter.
    same = edited(old, old)
    assert (same.changes, same.lines) == ((), old.script_lines)


_HOST_LEVEL = {"ncpus", "mem", "vmem", "ngpus", "mpiprocs", "ompthreads", "nodes", "arch", "host"}


def pbs_problems(lines: tuple[str, ...]) -> list[str]:
    """Return what OpenPBS's qsub would say of ``-l`` lines.

    "-lresource= cannot be used with select or place", PBS User's Guide, "Requesting Resources":
    jobs with select or place may only have job-wide resources beside, and place needs select.
    """
    names = [
        item.partition("=")[0]
        for line in lines
        for words in [line.split()]
        for option, value in zip(words[1:], [*words[2:], ""], strict=True)
        if option == "-l"
        for item in value.split(",")
    ]
    problems = []
    if {"select", "place"} & set(names) and _HOST_LEVEL & set(names):
        problems.append('"-lresource=" cannot be used with "select" or "place"')
    if "place" in names and "select" not in names:
        problems.append("place without select")
    if len(names) != len(set(names)):
        problems.append("a resource is given twice")
    return problems
