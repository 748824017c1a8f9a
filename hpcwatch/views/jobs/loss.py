"""What would be lost if a job was cancelled now, in words. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_clock, format_seconds, three_digits
from hpcwatch.cluster.schedulers.arrays import counted, is_whole
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.views.jobs.cells import clock_words
from hpcwatch.views.jobs.flags import elapsed_s
from hpcwatch.views.text import cut

_MOST_NODES = 4
_LONGEST_NAME = 60


def lines(parts: Sequence[Job], now_s: float, me: str) -> list[str]:
    """Return what a job is and what of it would be lost. ``parts`` are not over, one at least."""
    tasks = _tasks(parts)
    first = parts[0]
    head = [clean(first.array_id or first.het_id or first.id), cut(_name(first), _LONGEST_NAME)]
    count = sum(tasks.values())
    if first.array_id or count > 1:
        kind = "array" if first.array_id else "heterogeneous job"
        what = "task" if first.array_id else "component"
        of = f"{kind} of {count} {what}{'' if count == 1 else 's'}"
        # Of an array as a whole is known that it began, not which of its tasks did.
        is_array = all(map(is_whole, parts))
        head.append(f"{of}, {_word(first)}" if is_array else f"{of} left: {_listed(tasks)}")
    else:
        head.append(_state(first))
    if first.queue:
        head.append(f"queue {clean(first.queue)}")
    made = [" · ".join(head)]
    if first.owner is not None and first.owner != me:
        made.append(f"  it is {clean(first.owner)}'s, not yours")
    return [*made, *_ran(parts, now_s), *_waited(parts, now_s)]


def _name(job: Job) -> str:
    return clean(job.name) if job.name else "without a name"


def _state(job: Job) -> str:
    word = states([job]).removeprefix("is ")
    if not job.nodes:
        return word
    named = ", ".join(map(clean, job.nodes[:_MOST_NODES]))
    more = len(job.nodes) - _MOST_NODES
    return f"{word} on {named}" + (f" and {more} more" if more > 0 else "")


def _tasks(parts: Sequence[Job]) -> Counter[str]:
    """Count tasks by state. A scheduler may list an array and some of its tasks."""
    words = {job.state: _word(job) for job in parts}
    return Counter({words.get(state, state.value): n for state, n in counted(parts).items()})


def _listed(states_counted: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states_counted.items())


def _word(job: Job) -> str:
    return cut(clean(job.raw_state), 20) if job.state is JobState.UNKNOWN else str(job.state.value)


def named(parts: Sequence[Job]) -> str:
    """Return what a sentence about these parts begins with: an id, or how many they are."""
    if len(parts) == 1:
        return clean(parts[0].id)
    return f"{sum(_tasks(parts).values())} parts of {clean(parts[0].array_id or parts[0].id)}"


def states(parts: Sequence[Job]) -> str:
    """Return ``is running``, ``are 2 running, 3 queued``."""
    if len(parts) == 1:
        return f"is {_word(parts[0])}"
    return f"are {_listed(_tasks(parts))}"


def _ran(parts: Sequence[Job], now_s: float) -> list[str]:
    """Say for how long it has run, and what that is in core-hours and GPU-hours."""
    running = [
        (job, ran_s)
        for job in parts
        if not job.state.is_waiting and (ran_s := elapsed_s(job, now_s)) and not is_whole(job)
    ]
    if not running:
        return []
    job, longest_s = max(running, key=lambda pair: pair[1])
    limit = f" of {format_clock(job.walltime_s)}" if job.walltime_s else ""
    said = f"  has run {format_clock(longest_s)}{limit}"
    if len(running) > 1:
        said = f"  the longest has run {format_clock(longest_s)}{limit}"
    lost = [
        _hours([(one.cores_count, ran_s) for one, ran_s in running], "core"),
        _hours([(one.gpus_count, ran_s) for one, ran_s in running], "GPU"),
    ]
    told = " and ".join(filter(None, lost))
    return [said + (f": {told} would be lost" if told else "")]


def _hours(uses: Sequence[tuple[int | None, float]], what: str) -> str:
    known = [(count or 0, ran_s) for count, ran_s in uses]
    count = sum(count for count, _ in known)
    if not count:
        return ""
    hours = three_digits(sum(count * ran_s for count, ran_s in known) / 3600)
    return f"{hours} {what}-hours on {count} {what}{'' if count == 1 else 's'}"


def _waited(parts: Sequence[Job], now_s: float) -> list[str]:
    since = [job.submitted_at_s for job in parts if job.state.is_waiting and job.submitted_at_s]
    if not since:
        return []
    waited_s = int(max(now_s - min(since), 0.0))
    return [f"  has waited {format_seconds(waited_s)}: its place in the queue would be lost"]


def ending(job: Job, now_s: float) -> str:
    """Say how and when a job ended, and in the scheduler's own terms."""
    words = job.exit.words if job.exit is not None else str(job.state.value)
    when = f" at {clock_words(job.ended_at_s, now_s)}" if job.ended_at_s is not None else ""
    raw = [f"state {job.raw_state}"] if job.raw_state else []
    if job.exit is not None and job.exit.raw:
        raw.append(f"exit status {job.exit.raw}")
    own = f" ({job.scheduler}: {', '.join(raw)})" if raw else ""
    return re.sub(r"\s+", " ", f"{words}{when}{own}")
