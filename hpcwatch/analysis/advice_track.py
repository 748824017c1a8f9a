"""The track record of a work's advice: followed, held, missed, and the hours it saved. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpcwatch.analysis.advice_check import (
    Check,
    Past,
    Prediction,
    check,
    is_followed,
    latest,
    one_of_each_job,
)
from hpcwatch.analysis.advice_work import Work
from hpcwatch.base.units import amount
from hpcwatch.cluster.schedulers.request import needs_of


class Saved(NamedTuple):
    """What following the advice has saved in past runs, measured, in hours."""

    core_hours: float = 0.0
    gpu_hours: float = 0.0
    memory_byte_hours: float = 0.0
    lost_core_hours: float = 0.0
    """Hours lost in runs that followed the advice and were killed."""


class Step(NamedTuple):
    """One run of a work in its track record."""

    past: Past
    check: Check | None
    saved: Saved


class Track(NamedTuple):
    """The track record of one work."""

    work: Work
    steps: tuple[Step, ...]

    @property
    def saved(self) -> Saved:
        """The sum over its runs."""
        return Saved(*map(sum, zip(*(step.saved for step in self.steps))))

    def count(self, result: str) -> int:
        """Return how many checks had this result."""
        return sum(step.check is not None and step.check.result == result for step in self.steps)

    @property
    def followed_count(self) -> int:
        """The number of runs that followed the advice, at least in part."""
        words = ("followed", "partly followed")
        return sum(one.check is not None and one.check.followed in words for one in self.steps)

    @property
    def advised_count(self) -> int:
        """The number of runs after advice that was to change the request."""
        return sum(one.check is not None and bool(one.check.followed) for one in self.steps)


def tracks(pasts: Sequence[Past]) -> list[Track]:
    """Return the track record of each work, by their last runs. ``pasts``: the latest last."""
    works: dict[str, list[Past]] = {}
    for one in pasts:
        if one.run.job is not None:
            works.setdefault(one.work.key, []).append(one)
    found = [_track(one_of_each_job(runs)) for runs in works.values()]
    return sorted(found, key=lambda track: track.steps[-1].past.run.started_at_s)


def _track(runs: Sequence[Past]) -> Track:
    steps: list[Step] = []
    baseline: dict[str, int] = {}
    """What was requested of each amount before the advice was first followed."""
    for place, one in enumerate(runs):
        last = latest(runs[:place], one.work)
        checked = None if last is None else check(last, one.run, one.observed)
        if last is not None and last.prediction is not None:
            _follow(baseline, last.prediction, one)
        steps.append(Step(one, checked, _saved(baseline, one, checked)))
    return Track(runs[-1].work, tuple(steps))


def _follow(baseline: dict[str, int], said: Prediction, one: Past) -> None:
    """Note what was requested before; forget an amount once as much is requested again."""
    if one.run.job is None:
        return
    now = needs_of(one.run.job)
    for name in said.changes:
        if name not in baseline and is_followed(said, now, name):
            baseline[name] = getattr(said.requested, name)
    for name in list(baseline):
        if (getattr(now, name) or 0) >= baseline[name]:
            del baseline[name]


def _saved(baseline: Mapping[str, int], one: Past, checked: Check | None) -> Saved:
    """Return what a run saved against what was requested before the advice."""
    if not baseline or one.run.job is None:
        return Saved()
    now = needs_of(one.run.job)
    hours = one.observed.wall_s / 3600
    if checked is not None and checked.killed and checked.followed:
        return Saved(lost_core_hours=hours * now.nodes_count * (now.node_cores_count or 0))
    if one.observed.flaw is not None:
        return Saved()
    nodes = baseline.get("nodes_count", now.nodes_count)

    def saved(name: str) -> float:
        amount = getattr(now, name) or 0
        return hours * (nodes * baseline.get(name, amount) - now.nodes_count * amount)

    return Saved(saved("node_cores_count"), saved("node_gpus_count"), saved("node_memory_bytes"))


def hours_words(saved: Saved) -> str:
    """Say what was saved: ``43 core-hours, 2 GPU-hours``; empty if nothing was."""
    words = []
    if saved.core_hours >= 0.05:
        words.append(amount(saved.core_hours, "core-hour"))
    if saved.gpu_hours >= 0.05:
        words.append(amount(saved.gpu_hours, "GPU-hour"))
    return ", ".join(words)
