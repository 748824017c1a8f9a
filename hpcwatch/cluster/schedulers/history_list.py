"""Past jobs that a server still lists: one answer, read as a whole. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from hpcwatch.cluster.schedulers.arrays import is_whole
from hpcwatch.cluster.schedulers.history import (
    PastJob,
    Question,
    Site,
    Wanted,
    is_wanted,
    past_of,
    whole,
)
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import Answer, NoAnswerError

MOST_BYTES = 256 << 20
"""80,000 jobs of 3 kB each."""

Parse = Callable[[Answer], tuple[Job, ...]]


class Reader:
    """Reads a list of jobs and keeps the wanted ones."""

    odd_count = 0

    def __init__(self, wanted: Wanted, site: Site, parse: Parse, command: str) -> None:
        self._unnamed_gpus = 0 if site.counts_gpus else None
        self._wanted, self._parse, self._command = wanted, parse, command
        self.accounts: frozenset[str] = frozenset()

    def read(self, pieces: Iterable[bytes]) -> Iterator[PastJob]:
        """Yield the jobs; an array as its tasks. Raises SchedulerError."""
        now_s = time.time()
        answer = whole(pieces, MOST_BYTES, self._command, now_s)
        if answer is None:
            raise NoAnswerError(f"{self._command} printed more than {MOST_BYTES >> 20} MiB")
        if not answer.stdout.strip():
            return
        jobs = self._parse(answer)
        self.accounts = frozenset(job.account for job in jobs if job.account)
        arrays = {job.array_id for job in jobs if not is_whole(job)}
        for job in jobs:
            if is_whole(job) and job.id in arrays:
                continue  # its tasks are listed
            past = past_of(job, now_s)
            if past.gpus_count is None:
                past = past._replace(gpus_count=self._unnamed_gpus)
            if is_wanted(past, self._wanted):
                yield past


def listed(
    argv: Sequence[str],
    parse: Parse,
    plain: Sequence[str] = (),
    parse_plain: Parse | None = None,
) -> Callable[[Wanted, Site], list[Question]]:
    """Return the question for a server's list; in ``plain`` text if ``argv`` is refused."""

    def questions(wanted: Wanted, site: Site) -> list[Question]:
        in_text = None
        if parse_plain is not None:
            reader = Reader(wanted, site, parse_plain, plain[0])
            in_text = Question(tuple(plain), reader, _WHAT)
        return [Question(tuple(argv), Reader(wanted, site, parse, argv[0]), _WHAT, in_text)]

    return questions


_WHAT = "the server's list"
