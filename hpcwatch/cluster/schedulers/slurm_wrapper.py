"""Slurm's `qstat -f`, where its wrappers of Torque's commands stand in for Torque's own.

It looks like Torque's, but `mtime` is a job's start, `ctime` its end (before that the latest
possible ones), `Priority` 0 is a hold, and of a job that is over it never says how it ended.
Source: qstat(1) of Slurm's contribs/torque.
"""

from __future__ import annotations

from hpcwatch.cluster.schedulers.attributes import Attributes
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.query import Answer, all_words


def is_version(answer: Answer) -> bool:
    """Return whether this is what the wrapper says to `qstat --version`, which it does not know."""
    said = all_words(answer)
    return "--man" in said or "Unknown option: version" in said


def is_wrapper(record: Attributes) -> bool:
    """Return whether a job was printed by it: it leaves out what Torque always says."""
    return record.text("server") is None and record.count("Resource_List.ncpus") is not None


def corrected(job: Job, record: Attributes) -> Job:
    """Return the job with what the wrapper's words really mean."""
    start, end = record.when("mtime"), record.when("ctime")
    if job.raw_state == "C":
        reason = "Slurm's qstat does not tell how it ended"
        has_started = start if job.nodes else None  # of one that never ran it is the end
        return job._replace(
            state=JobState.UNKNOWN,
            exit=None,
            started_at_s=has_started,
            ended_at_s=end,
            reason=reason,
        )
    if job.state is not JobState.QUEUED:
        return job._replace(started_at_s=start)
    if record.count("Priority") == 0:
        return job._replace(state=JobState.HELD)
    return job._replace(estimated_start_at_s=start)
