"""Tasks that were assigned the same GPU while another GPU was free, from the assignments. Pure.

Where recordings show which task is on which device, ``sharing`` is more exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpcwatch.sweep.bars import Bar
from hpcwatch.sweep.outcome import Outcome
from hpcwatch.sweep.sharing import Sharing


def given_twice(outcome: Outcome) -> Iterator[Sharing]:
    """Yield each case of two tasks assigned to one device while another device was free."""
    counts = {place.name: place.devices_count for place in outcome.places}
    given: dict[str, list[Bar]] = {}
    for bar in outcome.bars:
        if bar.device is not None:
            given.setdefault(bar.host, []).append(bar)
    for host, bars in given.items():
        names = list(dict.fromkeys(bar.device or "" for bar in bars))
        yield from _stretches(host, bars, names, max(counts.get(host, 0), len(names)))


def _stretches(
    host: str, bars: Sequence[Bar], names: Sequence[str], count: int
) -> Iterator[Sharing]:
    """Yield each stretch in which a device had several bars and another device had none."""
    changes = [(bar.start_s, True, bar) for bar in bars] + [(bar.end_s, False, bar) for bar in bars]
    changes.sort(key=lambda change: change[:2])  # ends come before starts at the same time
    on: dict[str, set[int]] = {name: set() for name in names}
    open_ones: dict[str, Sharing] = {}
    for place, (at_s, begins, bar) in enumerate(changes):
        tasks = on[bar.device or ""]
        (tasks.add if begins else tasks.discard)(bar.task)
        if place + 1 < len(changes) and changes[place + 1][0] == at_s:
            continue
        free = [name for name in names if not on[name]]
        has_free = sum(map(bool, on.values())) < count
        for name in names:
            if has_free and len(on[name]) > 1:
                one = open_ones.get(name)
                idle = _gpu(free[0]) if free else "another GPU"
                known = one or Sharing(host, _gpu(name), idle, at_s, 0.0, ())
                open_ones[name] = known._replace(tasks=tuple(sorted({*known.tasks, *on[name]})))
            elif name in open_ones:
                one = open_ones.pop(name)
                yield one._replace(shared_s=at_s - one.start_s)


def _gpu(name: str) -> str:
    """Return ``GPU 0`` for an index, and a UUID unchanged."""
    return f"GPU {name}" if name.isdecimal() else name
