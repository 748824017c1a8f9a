"""What a scheduler last said of a watched job, and whom to ask."""

from __future__ import annotations

import time
from typing import NamedTuple

from hpcwatch.cluster.job_script import with_script
from hpcwatch.cluster.schedulers.inquiry import Inquiry, Reply
from hpcwatch.cluster.schedulers.job import Job


class Known(NamedTuple):
    """The scheduler's last answer."""

    parts: tuple[Job, ...]
    at_s: float
    """``time.monotonic`` of the answer."""
    trouble: str = ""

    @property
    def job(self) -> Job | None:
        """The job itself, or the first of its components; None of an array's many tasks."""
        is_array = len(self.parts) > 1 and self.parts[0].het_id is None
        return self.parts[0] if self.parts and not is_array else None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes of all components, each once."""
        job = self.job
        if job is None or job.state.is_waiting:
            return ()
        return tuple(dict.fromkeys(node for part in self.parts for node in part.nodes))


class Questions(NamedTuple):
    """A scheduler and the id to query it about."""

    inquiry: Inquiry
    job_id: str


def known_from(reply: Reply, last: Job | None = None) -> Known:
    """Return a scheduler's reply with its time, and with the job's own script read.

    ``last`` is the previous answer.
    """
    parts = tuple(reply.value)
    if len(parts) == 1:
        parts = (with_script(parts[0], last),)
    return Known(parts, time.monotonic() - reply.age_s, reply.trouble)
