"""Findings on programs that get slower, from the steps that they report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hpcwatch.analysis.findings import EVERY_PLOT, Finding, Scope, Severity, rule
from hpcwatch.analysis.findings.shared import Told, between
from hpcwatch.analysis.findings.slow_causes import most_risen
from hpcwatch.analysis.findings.windows import Stretch
from hpcwatch.analysis.progress import Pace, Reading, pace, trainings
from hpcwatch.base.pairs import pairwise
from hpcwatch.base.units import format_seconds

_LEAST_READINGS = 5  # a median of fewer is moved by two odd ones
_BLOCKS = 20  # parts of a window: the times of each give one median
_BEFORE_S = 300.0  # what rose is compared with this time before the stretch
_PATIENCE = 5  # silent for this many of its usual intervals: it has stopped reporting


class _Slow(NamedTuple):
    """A stretch in which a program was slow, and the time it is compared with."""

    stretch: Stretch
    step_s: float
    first_s: float
    """The time of the first reported step."""
    early_step_s: float
    fast_until_s: float
    """The last step that was not slow in the block before the stretch, or the stretch's start."""
    slow_since_s: float
    """The last one that was not slow in the stretch's first block, or the stretch's start."""

    def before(self, interval_s: float) -> Stretch:
        """Return some minutes in which the program was not slow yet.

        A reading stands for the interval before it, so the last one is left out: what it saw may be
        the cause.
        """
        end_s = max(self.fast_until_s - interval_s, self.first_s)
        return Stretch(max(end_s - _BEFORE_S, self.first_s), end_s)

    @property
    def then(self) -> Stretch:
        """The time in which it was slow; what is between this and ``before`` may be both."""
        return Stretch(self.slow_since_s, self.stretch.end_s)


@rule("step-slowdown", margins={"ratio": -0.1}, is_of_job=True, plots=EVERY_PLOT)
def step_slowdown(
    scope: Scope, *, ratio: float = 1.3, early_s: float = 300.0, window_s: float = 300.0
) -> Iterator[Finding]:
    """For 5 min a program's steps take over 1.3 times as long as in its first 5 reported minutes.

    Times are medians: of 5 steps or more, and of a twentieth of the window at least, so that
    a validation or a checkpoint does not count. A step's time is what the program reports:
    ``step_s`` (seconds per step), else ``steps_per_s``, else the time from one ``step`` number to
    the next, unless an epoch ended in between. If a program reports epochs as often, the epoch's
    time counts: ``steps_per_s``, ``step_s``, ``epoch_s``, or the time between ``epoch`` numbers.
    hpcwatch's Keras callback reports ``steps_per_s``; any program may log these names, in any
    language. An event ``training`` starts the comparison again.

    It says what rose on the nodes meanwhile, compared with the 5 min before: heat or power supply
    slowing a GPU down (5 % of the time), other processes (half a core of one, or 1 core in all),
    waiting for storage (threads for a tenth of the cores, or a tenth of the node's time); or that
    none of these did.
    Source: our own.
    """
    slow, unit = _slowest(scope, ratio, early_s, window_s)
    if slow is None:
        return
    cause = most_risen(scope, slow.before(scope.timeline.interval_s), slow.then)
    article = "an" if unit == "epoch" else "a"
    times = slow.step_s / slow.early_step_s
    told = Told(
        rule="step-slowdown",
        severity=Severity.WARNING,
        title=f"{unit}s take {times:.1f} times as long as at first: {cause.words}",
        evidence={
            f"{unit}_s": slow.step_s,
            f"early_{unit}_s": slow.early_step_s,
            **cause.evidence,
        },
        advice=f"{_lasting(scope, slow)} {article} {unit} took {_duration(slow.step_s)}, at first "
        f"{_duration(slow.early_step_s)}. {cause.advice}",
    )
    yield between(slow.stretch.start_s, slow.stretch.length_s, scope.whole_host, told)


def _lasting(scope: Scope, slow: _Slow) -> str:
    length = format_seconds(slow.stretch.length_s)
    return f"In the last {length}" if scope.is_live else f"For {length}"


def _duration(length_s: float) -> str:
    return f"{length_s * 1000:.3g} ms" if length_s < 1 else format_seconds(length_s)


def _slowest(
    scope: Scope, ratio: float, early_s: float, window_s: float
) -> tuple[_Slow | None, str]:
    """Return the stretch in which the program is slow now, after the run the longest one."""
    best: tuple[_Slow | None, str] = (None, "")
    for training in trainings(scope.events)[-1 if scope.is_live else 0 :]:
        told = pace(training)
        slow = _slow(scope, told, ratio, early_s, window_s)
        if slow and (best[0] is None or slow.stretch.length_s > best[0].stretch.length_s):
            best = slow, told.unit
    return best


def _slow(scope: Scope, told: Pace, ratio: float, early_s: float, window_s: float) -> _Slow | None:
    readings = told.readings
    if len(readings) < 2 * _LEAST_READINGS:
        return None
    first_s = readings[0].at_s
    early = [one for one in readings if one.at_s <= first_s + early_s]
    if len(early) < _LEAST_READINGS:
        early = readings[:_LEAST_READINGS]
    early_step_s = _median([one.step_s for one in early])
    if not early_step_s > 0:
        return None
    gaps = [after.at_s - one.at_s for one, after in pairwise(readings)]
    patience_s = max(window_s, _PATIENCE * _median(gaps))
    blocks = list(_blocks(readings, window_s / _BLOCKS))
    most_s = ratio * early_step_s
    stretches = _stretches(blocks, most_s, patience_s)
    if scope.is_live:  # it must last, and the program must still report
        is_telling = scope.end_s - readings[-1].at_s <= patience_s
        stretches = [one for one in stretches if is_telling and one.end_s == blocks[-1][-1].at_s]
    longest = max(stretches, key=lambda one: one.length_s, default=None)
    if longest is None or longest.length_s < window_s - 1e-6:
        return None
    step_s = _median(
        [one.step_s for one in readings if longest.start_s <= one.at_s <= longest.end_s]
    )
    edges = _edges(blocks, longest, most_s)
    return _Slow(longest, step_s, first_s, early_step_s, *edges)


def _edges(
    blocks: Sequence[Sequence[Reading]], stretch: Stretch, most_s: float
) -> tuple[float, float]:
    """Return until when a program was certainly fast and since when slow.

    A stretch begins with a block, of whose readings nearly half may be fast; of the block before
    nearly half may be slow. Where steps are reported rarely that is minutes.
    """
    starts = [block[0].at_s for block in blocks]
    place = starts.index(stretch.start_s)
    fast_until_s = _last_fast(blocks[place - 1], most_s) if place else None
    slow_since_s = _last_fast(blocks[place], most_s)
    if slow_since_s is None or slow_since_s >= stretch.end_s:
        slow_since_s = stretch.start_s
    return (stretch.start_s if fast_until_s is None else fast_until_s), slow_since_s


def _last_fast(block: Sequence[Reading], most_s: float) -> float | None:
    return max((one.at_s for one in block if one.step_s <= most_s), default=None)


def _stretches(
    blocks: Sequence[Sequence[Reading]], most_s: float, patience_s: float
) -> list[Stretch]:
    """Return the stretches in which the median of every block is over ``most_s``."""
    found: list[Stretch] = []
    is_slow = False
    for block in blocks:
        was_slow, is_slow = is_slow, _median([one.step_s for one in block]) > most_s
        start_s, end_s = block[0].at_s, block[-1].at_s
        if is_slow and was_slow and start_s - found[-1].end_s <= patience_s:
            found[-1] = Stretch(found[-1].start_s, end_s)
        elif is_slow:
            found.append(Stretch(start_s, end_s))
    return found


def _blocks(readings: Sequence[Reading], block_s: float) -> Iterator[list[Reading]]:
    """Yield blocks of at least some seconds and readings; the rest is left out."""
    block: list[Reading] = []
    for reading in readings:
        block.append(reading)
        if len(block) >= _LEAST_READINGS and reading.at_s - block[0].at_s >= block_s:
            yield block
            block = []


def _median(values: Sequence[float]) -> float:
    """Return the middle value; the lower of two in the middle."""
    return sorted(values)[(len(values) - 1) // 2]
