"""`qstat -f` of Slurm's wrappers, which replace Torque's commands.

The output looks like Torque's, but `mtime` is a job's start, `ctime` its end (the latest possible
one while it runs), `Priority` 0 is a hold, and it never says how a job ended. Source: qstat(1) of
Slurm's contribs/torque.
"""

from __future__ import annotations

from hpcwatch.cluster.schedulers.attributes import Attributes
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.query import Answer, all_words


def is_version(answer: Answer) -> bool:
    """Return whether the wrapper answered `qstat --version`, which it does not support."""
    said = all_words(answer)
    return "--man" in said or "Unknown option: version" in said


def is_wrapper(record: Attributes) -> bool:
    """Return whether the wrapper printed this record: it lacks what Torque always prints."""
    return record.text("server") is None and record.count("Resource_List.ncpus") is not None


def corrected(job: Job, record: Attributes) -> Job:
    """Return the job with the true meaning of the wrapper's fields."""
    start, end = record.when("mtime"), record.when("ctime")
    if job.raw_state == "C":
        reason = "Slurm's qstat does not tell how it ended"
        has_started = start if job.nodes else None  # for a job that never ran it is the end
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
