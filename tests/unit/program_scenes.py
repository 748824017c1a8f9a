"""What programs tell of themselves: nested phases, parallel ones, and far too many events."""

from __future__ import annotations

import math
from typing import Any

import report_scenes as scenes

from hpcwatch.analysis.report import Report
from hpcwatch.recording.store import Event

START_S = scenes.START_S


def begun(name: str, after_s: float, pid: int = 1) -> Event:
    return Event(START_S + after_s, "phase begin", {"phase": name, "pid": pid})


def ended(name: str, after_s: float, pid: int = 1, **more: Any) -> Event:
    return Event(START_S + after_s, "phase end", {"phase": name, "pid": pid, **more})


def telling(events: list[Event], hours: float = 0.5, **changed: Any) -> Report:
    """A run of one node that tells these events; none of its own findings."""
    report = scenes.many_nodes(nodes=1, gpus=1, hours=hours)
    return report._replace(events=events, findings=[], **changed)


def training(**changed: Any) -> Report:
    """Half an hour: it loads, trains five epochs, one of which fails, and is never seen to test."""
    events = [begun("load", 10), begun("import", 20), ended("import", 100), ended("load", 300)]
    events.append(begun("train", 300))
    for number in range(5):
        from_s = 310 + 200 * number
        events.append(begun("epoch", from_s))
        error: dict[str, Any] = {"error": "OSError"} if number == 3 else {}
        events.append(ended("epoch", from_s + 190, **error))
        losses = {"loss": 10.0**-number, "val_loss": 2 * 10.0**-number, "epoch": number}
        events.append(Event(START_S + from_s + 191, "epoch", losses))
    events.append(Event(START_S + 1320, "checkpoint", {"file": "/scratch/model.keras"}))
    events += [ended("train", 1330), begun("test", 1400)]
    return telling(events, **changed)


def parallel(count: int) -> Report:
    """So many processes, each in a phase of its own name at the same time."""
    begins = [begun(f"part {pid}", 100, pid) for pid in range(count)]
    return telling(begins + [ended(f"part {pid}", 900, pid) for pid in range(count)])


def chatty(count: int = 20_000, hours: float = 0.5) -> Report:
    """As many events as the monitor keeps of a day, and a phase a second."""
    length_s = hours * 3600
    events = [
        Event(START_S + n * length_s / count, "log", {"residual": math.exp(-n / 1000), "step": n})
        for n in range(count)
    ]
    for second in range(int(length_s) - 1):
        events += [begun("step", second), ended("step", second + 0.9)]
    events.append(Event(START_S + 1234.5, "checkpoint", {"step": 17}))
    return telling(sorted(events, key=lambda event: event.at_s), hours)
