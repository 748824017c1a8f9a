"""Advice as a prediction of what the next run of the same work needs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.analysis.advice_bounds import MOST_RUNS, matters
from hpcwatch.analysis.advice_check import (
    Check,
    Fixed,
    Past,
    Prediction,
    check,
    latest,
    one_of_each_job,
)
from hpcwatch.analysis.advice_work import Number, Work, work_of
from hpcwatch.analysis.needs import Observed
from hpcwatch.analysis.rightsize import Advice, advise
from hpcwatch.cluster.schedulers.request import needs_of, nodes_count

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.recording.store import Run


class Made(NamedTuple):
    """What a run's report says about the next run, and about earlier advice."""

    advice: Advice
    prediction: Prediction | None
    check: Check | None
    """None if no earlier run of this work made a prediction."""


def made(
    run: Run,
    job: Job,
    observed: Observed,
    earlier: Sequence[Past],
    memory_per_core_bytes: float | None = None,
) -> Made:
    """Return what to request next time, what it predicts, and the check of the last prediction.

    ``earlier`` are runs of the same name, the latest last.
    """
    work = work_of(run)
    same = _same_work(run, work, earlier)
    places = _sizes(work, [*((one.work, one.observed) for one in same), (work, observed)])
    alike = [one for one in same if _is_alike(one, job, work, places)]
    runs = [*(one.observed for one in alike), observed][-MOST_RUNS:]
    advice = advise(job, runs, run.environment, memory_per_core_bytes)
    notes = (*_size_words(work, places), *_script_words(work, run, earlier))
    if advice.refused is None:
        advice = advice._replace(notes=(*advice.notes, *notes))
    last = latest(same, work)
    return Made(
        advice,
        _prediction(job, work, advice, [*(one.work for one in alike), work], places),
        None if last is None else check(last, run, observed),
    )


def _same_work(run: Run, work: Work, earlier: Sequence[Past]) -> list[Past]:
    """Return the runs of the same work, one recording per watched job."""
    same = [one for one in earlier if one.work.key == work.key]
    if run.kind == "job" and run.job is not None:  # not another recording of this very job
        own = run.job.id
        same = [one for one in same if one.run.job is None or one.run.job.id != own]
    return one_of_each_job(same)


def _sizes(work: Work, seen: Sequence[tuple[Work, Observed]]) -> tuple[int, ...]:
    """Return the places of the arguments' numbers with which the need for memory or time varies."""
    good = [(one, observed) for one, observed in seen if observed.flaw is None]
    return tuple(
        place
        for place in range(len(work.numbers))
        if any(
            matters([size for size, _ in pairs], [value for _, value in pairs])
            for pairs in (
                [
                    (one.numbers[place].value, float(value))
                    for one, observed in good
                    for value in (getattr(observed, name),)
                    if value is not None and place < len(one.numbers)
                ]
                for name in ("memory_bytes", "wall_s")
            )
        )
    )


def _is_alike(past: Past, job: Job, work: Work, places: Sequence[int]) -> bool:
    """Return True for a run of the same size on the same number of nodes."""
    before = past.run.job
    is_as_wide = before is not None and nodes_count(before) == nodes_count(job)
    return is_as_wide and _values(past.work, places) == _values(work, places)


def _values(work: Work, places: Sequence[int]) -> list[float]:
    return [work.numbers[place].value for place in places if place < len(work.numbers)]


def _size_words(work: Work, places: Sequence[int]) -> Iterator[str]:
    if places:
        sizes = " ".join(_number_words(work.numbers[place]) for place in places)
        yield (
            f"Sizes differ between runs, and the need with them: this holds for {sizes} only, "
            f"and is learnt from runs of that size."
        )


def _number_words(number: Number) -> str:
    return f"{number.label} {number.value:g}"


def _script_words(work: Work, run: Run, earlier: Sequence[Past]) -> Iterator[str]:
    """Say that the script's commands have changed since the last run of this name."""
    before = [one for one in earlier if one.run.kind == run.kind and one.run.job is not None]
    last = before[-1].work if before else None
    if last is not None and work.script and last.script and work.script != last.script:
        yield (
            "The script's commands have changed since the last run of this name: what was "
            "learnt from earlier runs does not count."
        )


def _prediction(
    job: Job, work: Work, advice: Advice, works: Sequence[Work], places: Sequence[int]
) -> Prediction | None:
    bounds = advice.bounds
    if bounds is None or advice.new is None:
        return None
    told = [one for one in (bounds.memory, bounds.wall) if one is not None]
    fixed = tuple(
        Fixed(place, number.label, number.value)
        for place, number in enumerate(work.numbers)
        if place in places or all(one.numbers[place].value == number.value for one in works)
    )
    return Prediction(
        requested=needs_of(job),
        suggested=needs_of(advice.new),
        memory_bytes=None if bounds.memory is None else round(bounds.memory.value),
        wall_s=None if bounds.wall is None else bounds.wall.value,
        cores=bounds.cores_least,
        runs_count=min((one.runs_count for one in told), default=1),
        risk=next((one.risk for one in told), None),
        fixed=fixed,
    )
