"""Slurm's estimate of when a request would start, without a submission: `sbatch --test-only`. Pure.

Source: sbatch(1). sbatch validates the options, submits nothing, and writes to standard error ``Job
17 to start at 2026-11-30T06:10:00 using 4 processors on nodes qb001 in partition checkpt``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from hpcwatch.cluster.schedulers.query import Answer, Query, done, not_understood
from hpcwatch.cluster.schedulers.request import Needs
from hpcwatch.cluster.schedulers.slurm_options import PREFIX
from hpcwatch.cluster.schedulers.text import when

BY = "Slurm's own estimate"
_STARTS = re.compile(r"Job \d{1,12} to start at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\b", re.ASCII)


def query(lines: Sequence[str]) -> Query[float]:
    """Ask when a script with these directives would start, in seconds since the epoch."""
    return Query(["sbatch", "--test-only", *_words(lines), "--wrap=:"], _start)


def start_s(answer: float, _needs: Needs) -> float | None:
    """Return the start: Slurm's answer is about this one request."""
    return answer


def _words(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        try:
            yield from shlex.split(line.removeprefix(PREFIX), comments=True)
        except ValueError:  # an open quote: sbatch reports it
            yield from line.removeprefix(PREFIX).split()


def _start(answer: Answer) -> float:
    said = f"{answer.stderr.decode('utf-8', 'replace')}\n{done('sbatch', answer)}"
    match = _STARTS.search(said)
    at_s = when(match[1]) if match else None
    if at_s is None:
        raise not_understood("sbatch --test-only", answer)
    return at_s
