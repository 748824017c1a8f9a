"""Check a prediction against the next run of the same work. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.analysis.advice_work import Work, work_of
from hpcwatch.analysis.needs import Observed
from hpcwatch.cluster.schedulers.request import Needs, needs_of

if TYPE_CHECKING:
    from hpcwatch.recording.store import Run

_FOLLOWED = 1.05
"""A request of up to this share of the suggestion follows it: people round numbers."""
_AMOUNTS = ("nodes_count", "node_cores_count", "node_gpus_count", "node_memory_bytes", "walltime_s")


class Fixed(NamedTuple):
    """A number among the arguments that a prediction holds for."""

    place_count: int
    """How many numbers come before it."""
    label: str
    value: float


class Prediction(NamedTuple):
    """What a run predicts for the next run of the same work. None means no prediction."""

    requested: Needs
    """What was requested in this run."""
    suggested: Needs
    memory_bytes: int | None
    """The upper bound of the peak on the node that needs most."""
    wall_s: float | None
    """The upper bound of its run time."""
    cores: float | None
    """The lower bound of the cores that are busy in the busiest minute."""
    runs_count: int
    """The number of runs it is based on."""
    risk: float | None
    """The share of runs that may exceed it; None if there are too few runs to tell."""
    fixed: tuple[Fixed, ...] = ()
    """It does not apply to runs with other numbers at these places."""

    @property
    def changes(self) -> tuple[str, ...]:
        """The amounts for which another value than the request was suggested."""
        return tuple(
            name
            for name in _AMOUNTS
            if getattr(self.suggested, name) != getattr(self.requested, name)
        )


class Past(NamedTuple):
    """An earlier run, as its recording tells it."""

    run: Run
    work: Work
    observed: Observed
    prediction: Prediction | None
    """None for a recording older than predictions, or for a run that shows no needs."""


class Part(NamedTuple):
    """One amount of a prediction, and what became of it."""

    amount: str
    """``memory``, ``walltime`` or ``cores``."""
    predicted: float
    seen: float
    is_held: bool


class Check(NamedTuple):
    """What became of a prediction in the next run of the same work."""

    run_id: str
    """The run that predicted."""
    followed: str
    """``followed``, ``partly followed``, ``not followed``; empty if nothing else was suggested."""
    result: str
    """``held``, ``missed``, ``other size``, or ``unknown``."""
    parts: tuple[Part, ...] = ()
    killed: str = ""
    """``memory`` or ``walltime``: the limit for which the run was killed."""
    why: str = ""
    """Why it is unknown, or which size differs."""


def one_of_each_job(runs: Sequence[Past]) -> list[Past]:
    """Return one recording per watched job: one that shows its needs, if there is one."""
    found: dict[str, Past] = {}
    for one in runs:
        job = one.run.job if one.run.kind == "job" else None
        name = one.run.id if job is None else job.id
        if name not in found or one.observed.flaw is None:
            found[name] = one
    return list(found.values())


def latest(runs: Sequence[Past], work: Work) -> Past | None:
    """Return the last run with a prediction, one of this size if there is one."""
    told = [one for one in reversed(runs) if one.prediction is not None]
    alike = (one for one in told if one.prediction and not other_size(one.prediction, work))
    return next(alike, told[0] if told else None)


def check(last: Past, run: Run, observed: Observed) -> Check | None:
    """Check what an earlier run predicted against what a run showed."""
    said, job = last.prediction, run.job
    if said is None or job is None:
        return None
    made = Check(last.run.id, _followed(said, needs_of(job)), "unknown")
    parts = tuple(_parts(said, observed))
    killed = _killed(said, observed)
    is_missed = bool(killed) or any(not one.is_held and one.amount != "cores" for one in parts)
    if observed.flaw is not None and not killed:
        return made._replace(why=observed.flaw)
    if killed and _is_below(said, needs_of(job), killed):
        return made._replace(why=f"killed at a {killed} limit below what was predicted")
    other = other_size(said, work_of(run))
    if is_missed and other:
        return made._replace(result="other size", why=other, parts=parts, killed=killed)
    result = "missed" if is_missed else "held"
    return made._replace(result=result, parts=() if killed else parts, killed=killed)


def _killed(said: Prediction, observed: Observed) -> str:
    """Return the limit for which the run was killed; empty if none, or not predicted."""
    if observed.killed_memory_bytes is not None and said.memory_bytes is not None:
        return "memory"
    return "walltime" if observed.killed_wall_s is not None and said.wall_s is not None else ""


def _is_below(said: Prediction, now: Needs, killed: str) -> bool:
    """Return True if the request was below what the prediction says is needed."""
    limits = {
        "memory": (now.node_memory_bytes, said.memory_bytes),
        "walltime": (now.walltime_s, said.wall_s),
    }
    limit, needed = limits[killed]
    return limit is not None and needed is not None and limit < needed


def _parts(said: Prediction, observed: Observed) -> Iterator[Part]:
    if observed.flaw is not None:
        return
    if said.memory_bytes is not None and observed.memory_bytes is not None:
        peak = observed.memory_bytes
        yield Part("memory", said.memory_bytes, peak, peak <= said.memory_bytes)
    if said.wall_s is not None:
        yield Part("walltime", said.wall_s, observed.wall_s, observed.wall_s <= said.wall_s)
    if said.cores is not None and observed.cores is not None:
        yield Part("cores", said.cores, observed.cores, observed.cores >= said.cores)


def _followed(said: Prediction, now: Needs) -> str:
    """Return whether the request is what was suggested, where the suggestion was a change."""
    changes = said.changes
    if not changes:
        return ""
    count = sum(is_followed(said, now, name) for name in changes)
    return ("not followed", "partly followed", "followed")[(count > 0) + (count == len(changes))]


def is_followed(said: Prediction, now: Needs, amount: str) -> bool:
    """Return True if the amount requested now is about the suggested one, or less."""
    before, told, asked = (
        getattr(needs, amount) for needs in (said.requested, said.suggested, now)
    )
    if told is None or before is None:
        return False
    return bool((asked or 0) <= _FOLLOWED * told and (asked or 0) < before)


def other_size(said: Prediction, work: Work) -> str:
    """Return which number differs from those that a prediction holds for; empty if none does."""
    for one in said.fixed:
        now = work.numbers[one.place_count] if one.place_count < len(work.numbers) else None
        if now is not None and now.value != one.value:
            return f"{one.label} is {now.value:g}, it was {one.value:g}"
    return ""
