"""What is said of states, ages and ways, in words. Pure."""

from __future__ import annotations

import time

from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_seconds
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.monitor.node_status import NodeState, NodeStatus

FOUND_BY = {
    "tree": "those below hpcwatch",
    "cgroup": "the job's control group",
    "shepherd": "those below the scheduler's daemon",
    "environment": "those with the job's id in their environment",
    "user": "all of the owner's that are no other job's; some may not be this job's",
    "none": "no process of the job is on this node",
    "visible": "only your own: /proc hides the others (hidepid), node figures are the kernel's",
    "all": "all on the node",
}
"""JobUse.found_by -> which processes count."""


def age(seconds: float) -> str:
    """Return an age in whole steps, so that it changes no more than once a second."""
    return format_seconds(float(int(max(seconds, 0.0))))


def state_text(job: Job) -> str:
    """Return a job's state, with the scheduler's word where we do not know it."""
    word = job.state.value.upper()
    if job.state is not JobState.UNKNOWN:
        return word
    raw = clean(job.raw_state)
    return f"{word} ({raw})" if raw else word


def state_style(job: Job) -> str:
    """Return the style of a job's state."""
    if job.state in (JobState.RUNNING, JobState.COMPLETED):
        return "ok"
    if job.state.is_over:
        return "critical"
    return "warning"


def status_text(status: NodeStatus, now_s: float) -> str:
    """Return what is wrong with a node: ``lost 40 s: connection timed out, next try 12 s``.

    Empty if it is live.
    """
    if status.state is NodeState.LIVE:
        return ""
    text = f"{status.state.value} {age(now_s - status.since_s)}"
    if status.reason:
        text += f": {clean(' '.join(status.reason.split()))}"
    if status.state is NodeState.LOST and status.retry_at_s is not None:
        text += f", next try {age(status.retry_at_s - now_s)}"
    return text


def last_values_text(status: NodeStatus, now_s: float) -> str:
    """Return how old a node's last values are."""
    if status.last_at_s is None:
        return "never read"
    return f"last values {age(now_s - status.last_at_s)} old"


def moment(at_s: float, now_s: float) -> str:
    """Return a time of day, with its date if that is another day's."""
    when = time.localtime(at_s)
    is_today = time.strftime("%F", when) == time.strftime("%F", time.localtime(now_s))
    return time.strftime("%H:%M" if is_today else "%a %d %b %H:%M", when)
