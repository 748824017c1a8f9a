"""The track record of advice as text and as JSON. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from hpcwatch.analysis.advice_track import Saved, Step, Track, hours_words
from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, amount, format_bytes, format_clock, iso
from hpcwatch.cluster.schedulers.request import Needs
from hpcwatch.views.report.advice import outcome, prediction_words
from hpcwatch.views.sweep.words import many
from hpcwatch.views.table import Column, cell, table
from hpcwatch.views.text import cut, render, wrapped

_MOST_STEPS = 30
_LONGEST = 100
_COLUMNS = (
    Column("runs"),
    Column("advised"),
    Column("followed"),
    Column("held"),
    Column("missed"),
    Column("saved", is_left=True),
    Column("work", is_left=True),
)
NONE = (
    "no recorded run tells what its job needed yet; record one in a job with: hpcwatch run, or: "
    "hpcwatch job"
)
"""A run may be there all the same: recorded without a job, by an earlier version, or damaged."""


def summary(found: Sequence[Track]) -> list[str]:
    """Return a line a work, and what was saved together."""
    if not found:
        return [NONE[0].upper() + NONE[1:]]
    rows = [[cell(word) for word in _row(track)] for track in found]
    lines = [render(line, False) for line in table(_COLUMNS, rows)]
    return [*lines, "", *_together(found), "Run by run: hpcwatch advice NAME"]


def _row(track: Track) -> tuple[str, ...]:
    numbers = (
        len(track.steps),
        track.advised_count,
        track.followed_count,
        track.count("held"),
        track.count("missed"),
    )
    return (*map(str, numbers), hours_words(track.saved) or UNKNOWN, clean(_named(track)))


def _named(track: Track) -> str:
    """Name a work: by its runs' name, and the shape of its command where that says more."""
    name, shape = track.work.name, track.work.shape
    return name if shape in ("", name) else cut(f"{name}: {shape}", _LONGEST)


def _together(found: Sequence[Track]) -> Iterator[str]:
    saved = Saved(*map(sum, zip(*(track.saved for track in found))))
    first_s = min(track.steps[0].past.run.started_at_s for track in found)
    since = time.strftime("%Y-%m-%d", time.localtime(first_s))
    words = hours_words(saved) or "nothing yet"
    yield f"Saved so far: {words}, measured in the recorded runs since {since}."
    if saved.lost_core_hours >= 0.05:
        lost = amount(saved.lost_core_hours, "core-hour")
        yield f"Lost: {lost} in runs that followed advice and were killed."


def details(found: Sequence[Track], width: int) -> list[str]:
    """Return the runs of each work one by one, and what is predicted of the next."""
    room = max(width - 4, 20)
    lines: list[str] = []
    for track in found:
        lines += [*([""] if lines else []), clean(_named(track))]
        hidden = len(track.steps) - _MOST_STEPS
        if hidden > 0:
            lines.append(f"  {hidden} earlier runs are counted below and not listed")
        for step in track.steps[-_MOST_STEPS:]:
            head, *said = _step(step)
            lines += [f"  {row}" for row in wrapped(head, room)]
            lines += [f"    {row}" for one in said for row in wrapped(one, room)]
        lines += ["", *(f"  {row}" for row in wrapped(" ".join(_closing(track)), room))]
    return lines


def _step(step: Step) -> Iterator[str]:
    run = step.past.run
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at_s))
    prediction = step.past.prediction
    asked = _needs_words(prediction.requested) if prediction is not None else ""
    yield f"{started}  {clean(run.id)}{f'  requested {asked}' if asked else ''}"
    if step.check is not None:
        yield f"advice: {clean(outcome(step.check))}"
    elif step.past.observed.flaw is not None:
        yield f"{clean(step.past.observed.flaw)}"
    else:
        yield "no earlier advice to check"
    saved = hours_words(step.saved)
    if saved:
        yield f"saved {saved}"


def _needs_words(needs: Needs) -> str:
    counts = ((needs.node_cores_count, "core"), (needs.node_gpus_count, "GPU"))
    words = [many(needs.nodes_count, "node")] if needs.nodes_count > 1 else []
    words += [many(count, what) for count, what in counts if count]
    if needs.node_memory_bytes:
        words.append(format_bytes(needs.node_memory_bytes))
    if needs.walltime_s:
        words.append(format_clock(needs.walltime_s))
    return ", ".join(words)


def _closing(track: Track) -> Iterator[str]:
    """Sum a work up, and say what is predicted of its next run."""
    yield (
        f"Advice followed: {track.followed_count} of {track.advised_count}. Predictions held: "
        f"{track.count('held')}, missed: {track.count('missed')}. Saved: "
        f"{hours_words(track.saved) or 'nothing yet'}."
    )
    told = [step.past.prediction for step in track.steps if step.past.prediction is not None]
    if not told:
        return
    said = told[-1]
    basis = "1 run" if said.runs_count == 1 else f"{said.runs_count} runs"
    risk = (
        "too few to state a risk"
        if said.risk is None
        else f"at most {100 * said.risk:g} % of runs may exceed it"
    )
    sizes = ", ".join(f"{one.label} {one.value:g}" for one in said.fixed)
    yield (
        f"Next run{f' with {clean(sizes)}' if sizes else ''}: {prediction_words(said)} "
        f"(from {basis}, {risk})."
    )
    if said.changes:
        yield f"Suggested: {_needs_words(said.suggested)}."


def to_plain(found: Sequence[Track]) -> dict[str, Any]:
    """Return the documented structure, version 1."""
    return {"schema_version": 1, "works": [_plain(track) for track in found]}


def _plain(track: Track) -> dict[str, Any]:
    return {
        "name": track.work.name,
        "shape": track.work.shape,
        "runs_count": len(track.steps),
        "advised_count": track.advised_count,
        "followed_count": track.followed_count,
        "held_count": track.count("held"),
        "missed_count": track.count("missed"),
        "saved": track.saved._asdict(),
        "runs": [_plain_step(step) for step in track.steps],
    }


def _plain_step(step: Step) -> dict[str, Any]:
    check = step.check
    return {
        "id": step.past.run.id,
        "started_at": iso(step.past.run.started_at_s),
        "followed": None if check is None else check.followed or None,
        "result": None if check is None else check.result,
        "killed": None if check is None else check.killed or None,
        "why": None if check is None else check.why or None,
        "parts": [] if check is None else [part._asdict() for part in check.parts],
        "saved": step.saved._asdict(),
    }
