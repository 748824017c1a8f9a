"""A sweep while it runs, as lines for a terminal. Pure: a picture and what tasks use, lines out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_clock, format_cores, format_pct, format_seconds
from hpcwatch.sweep import best, estimate
from hpcwatch.sweep.attempts import Attempt, Started
from hpcwatch.sweep.outcome import TaskRow, how
from hpcwatch.sweep.picture import Picture, Place
from hpcwatch.sweep.vitals import Vitals
from hpcwatch.views.sweep.words import combination, device, many, winner
from hpcwatch.views.text import SIGNS, Line, Span, fit, line_width

_FAILURES = 3
_BAR_COLUMNS = 28
_WIDE = 100


class Live(NamedTuple):
    """What there is to show."""

    picture: Picture
    vitals: Mapping[int, Vitals]
    """Task -> what it uses now."""
    last_lines: Mapping[int, str]
    """Task that failed -> the last line it wrote."""
    goal: best.Goal | None
    findings: Sequence[Finding] = ()


def lines(live: Live, width: int, height: int) -> list[Line]:
    """Return the lines of the view, no more than ``height``, none wider than ``width``."""
    picture = live.picture
    durations = durations_of(picture)
    head = [_head(picture, durations, width), _progress(live, width)]
    running = picture.running()
    hosts: list[Line] = []
    for place in picture.places:
        hosts += _host(live, place, [one for one in running if one.host == place.name], durations)
    notes = [*_failures(live), *(_finding(finding) for finding in live.findings)]
    room = max(height - len(head) - len(notes), 1)
    if len(hosts) > room:
        left = len(hosts) - room + 1
        hosts = [*hosts[: room - 1], [Span(f" … {many(left, 'more line')}", "dim")]]
    return [fit(line, width) for line in [*head, *hosts, *notes][:height]]


def end_estimate_s(picture: Picture, durations: estimate.Durations) -> float | None:
    """Return in how many seconds all is done; None while too few tasks have ended, or none runs."""
    if durations.count < estimate.FEW:
        return None
    by_number = {task.number: task for task in picture.tasks}
    running = [
        (durations.of(by_number[one.task].parameters) or 0.0, picture.now_s - one.at_s)
        for one in picture.running()
    ]
    busy = {one.task for one in picture.running()}
    done = picture.counting()
    waiting = [
        durations.of(task.parameters) or 0.0
        for task in picture.tasks
        if task.number not in busy and task.number not in done
    ]
    in_s = estimate.end_in_s(running, waiting, picture.slots_count)
    return in_s if math.isfinite(in_s) else None


def durations_of(picture: Picture) -> estimate.Durations:
    """Learn from the tasks that have ended well."""
    by_number = {task.number: task for task in picture.tasks}
    return estimate.Durations(
        estimate.Done(by_number[number].parameters, one.ended.wall_s)
        for number, one in picture.counting().items()
        if number in by_number and one.ended is not None and one.ended.is_good
    )


def _head(picture: Picture, durations: estimate.Durations, width: int) -> Line:
    """Tell what runs, how far it is and when it ends; where it runs only if there is room."""
    done, running = len(picture.counting()), len(picture.running())
    left = max(len(picture.tasks) - done - running, 0)
    hosts = [place for place in picture.places if place.slots_count]
    slots = {place.slots_count for place in hosts}
    each = f" × {many(slots.pop(), 'slot')}" if len(slots) == 1 else ""
    end_s = end_estimate_s(picture, durations)
    ends = (
        f"ends about {_clock(picture.now_s, end_s)}" if end_s is not None else "end not known yet"
    )
    line = [
        Span(f" {clean(picture.plan.name)}", "head"),
        Span(f" · {many(len(picture.tasks), 'task')}"),
        Span(f" on {many(len(hosts), 'host')}{each}"),
        Span(f" · {done} done, {running} running, {left} to go · "),
        Span(ends if left or running else "all done", "" if end_s is not None else "dim"),
    ]
    return line if line_width(line) <= width else [*line[:2], *line[3:]]


def _clock(now_s: float, end_s: float) -> str:
    form = "%H:%M" if end_s < 12 * 3600 else "%a %H:%M"
    if end_s < 120:
        form = "%H:%M:%S"
    return time.strftime(form, time.localtime(now_s + end_s))


def _progress(live: Live, width: int) -> Line:
    picture = live.picture
    total = max(len(picture.tasks), 1)
    done, running = len(picture.counting()), len(picture.running())
    columns = _BAR_COLUMNS if width >= _WIDE else _BAR_COLUMNS // 2
    full = columns * done // total
    part = min(-(-columns * running // total), columns - full)
    rest = columns - full - part
    line = [
        Span(" "),
        Span("█" * full, "ok"),
        Span("▒" * part, "ok"),
        Span("░" * rest, "dim"),
        Span(f"  {100 * done // total} %    "),
    ]
    rows = [
        TaskRow(number, _parameters(picture, number), "ok", True, results=one.ended.results)
        for number, one in picture.counting().items()
        if one.ended is not None and one.ended.is_good
    ]
    top = best.best(rows, live.goal)
    if top is not None and live.goal is not None:
        line.append(Span(winner(top, live.goal), "bold"))
    return line


def _parameters(picture: Picture, number: int) -> dict[str, str]:
    return picture.tasks[number - 1].parameters if number <= len(picture.tasks) else {}


def _host(
    live: Live, place: Place, running: Sequence[Started], durations: estimate.Durations
) -> list[Line]:
    done = sum(
        one.ended is not None and one.started.host == place.name
        for one in live.picture.counting().values()
    )
    name = clean(place.name)
    if place.trouble:
        words = f" {name}  gets no more tasks: {clean(place.trouble)}"
        return [[Span(words, "critical"), Span(f"   {done} done")]]
    if not running:
        state = "idle" if place.slots_count else "no task now"  # a job array has no slots to idle
        return [[Span(f" {name}  {state}", "dim"), Span(f"   {done} done")]]
    made: list[Line] = []
    for index, one in enumerate(sorted(running, key=lambda some: some.slot)):
        head = name if index == 0 else " " * len(name)
        tail = f"   {done} done" if index == 0 else ""
        made.append([Span(f" {head}  "), *_task(live, one, durations), Span(tail)])
    return made


def _task(live: Live, one: Started, durations: estimate.Durations) -> list[Span]:
    parameters = _parameters(live.picture, one.task)
    foretold_s = durations.of(parameters)
    ran = format_clock(max(live.picture.now_s - one.at_s, 0.0))
    of = f" of ~{format_clock(foretold_s)}" if foretold_s is not None else ""
    again = f" (try {one.attempt})" if one.attempt > 1 else ""
    vitals = live.vitals.get(one.task, Vitals())
    if vitals.gpu_util_pct is not None:
        name = "" if one.device is None else f" {device(one.device)}"
        used = f"   GPU{name} {format_pct(vitals.gpu_util_pct)}"
    elif vitals.used_cores is not None:
        used = f"   {format_cores(vitals.used_cores)} cores"
    else:
        used = ""
    words = f"task {one.task}{again} {combination(parameters)}"
    return [Span(words, "ok"), Span(f"   {ran}{of}{used}")]


def _failures(live: Live) -> list[Line]:
    """Tell of the tasks that failed last, with the last line of each."""
    failed = [
        (number, one)
        for number, one in live.picture.counting().items()
        if one.ended is not None and not one.ended.is_good
    ]
    failed.sort(key=lambda pair: pair[1].ended.at_s if pair[1].ended is not None else 0.0)
    made: list[Line] = []
    if len(failed) > _FAILURES:
        made.append([Span(f" {SIGNS['critical']} {len(failed)} tasks failed", "critical")])
    for number, one in failed[-_FAILURES:]:
        tries = sum(
            some.ended is not None and some.ended.is_final and not some.ended.is_good
            for some in live.picture.attempts.get(number, [])
        )
        times = "" if tries == 1 else " twice" if tries == 2 else f" {tries} times"
        words = f" {SIGNS['critical']} task {number} failed{times} ({_reason(one)})"
        last = live.last_lines.get(number, "")
        made.append([Span(words, "critical"), Span(f": {clean(last)}" if last else "")])
    return made


def _reason(one: Attempt) -> str:
    assert one.ended is not None
    return clean(one.ended.trouble) or how(one)


def _finding(finding: Finding) -> Line:
    word = finding.severity.name.lower()
    style = "" if word == "info" else word
    return [Span(f" {SIGNS[word]} {clean(finding.title)}", style)]


def line_of_end(picture: Picture, attempt: Attempt, last_line: str, done_count: int) -> str:
    """Return the line that tells, where there is no terminal, of a task that has ended."""
    started, ended = attempt
    assert ended is not None
    from hpcwatch.views.sweep.words import value

    results = " ".join(f"{clean(name)}={value(one)}" for name, one in ended.results.items())
    words = [
        f"[{done_count}/{len(picture.tasks)}]",
        clean(started.host),
        f"task {started.task}",
        combination(_parameters(picture, started.task)),
        format_seconds(ended.wall_s),
        _reason(attempt),
    ]
    words += [results] if results else []
    words += [clean(last_line)] if last_line and not ended.is_good else []
    return "  ".join(words)
