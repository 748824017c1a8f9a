"""The combinations of parameters: a grid, the rows of a table, or a random choice."""

from __future__ import annotations

import csv
import itertools
import math
import random
import sys
from collections.abc import Iterable, Sequence

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.sweep.values import Parameter, require_name, require_value

MOST_TASKS = 100_000

Combination = dict[str, str]
"""Parameter -> value, in the order in which the parameters were named."""


def grid(parameters: Sequence[Parameter]) -> list[Combination]:
    """Return every combination, the last parameter varying fastest. Raises HpcwatchError."""
    _require_distinct([parameter.name for parameter in parameters])
    for one in parameters:
        if one.interval is not None:
            hint = f"write {one.interval.kind}:FIRST..LAST:HOW_MANY, or draw with --random N"
            raise _wrong(f"{one.name} lacks the number of values to take", hint)
    _require_possible(math.prod(len(parameter.values) for parameter in parameters))
    return [
        dict(zip([one.name for one in parameters], values))
        for values in itertools.product(*(parameter.values for parameter in parameters))
    ]


def drawn(parameters: Sequence[Parameter], count: int, seed: int) -> list[Combination]:
    """Return ``count`` different combinations drawn at random; the same ones for the same seed.

    Raises HpcwatchError if there are fewer.
    """
    _require_distinct([parameter.name for parameter in parameters])
    _require_possible(count)
    rng = random.Random(seed)  # noqa: S311 (what is tried first is no secret)
    if all(parameter.interval is None for parameter in parameters):
        total = math.prod(len(parameter.values) for parameter in parameters)
        if count > total:
            raise _wrong(f"--random {count} of only {total} combinations", "ask for fewer")
        return [_at(parameters, index) for index in rng.sample(range(total), count)]
    found: dict[tuple[str, ...], Combination] = {}
    for _ in range(100 * count):
        values = {parameter.name: parameter.draw(rng) for parameter in parameters}
        found[tuple(values.values())] = values
        if len(found) == count:
            return list(found.values())
    raise _wrong(f"there are no {count} different combinations", "widen the intervals")


def _at(parameters: Sequence[Parameter], index: int) -> Combination:
    """Return the combination at a place in the grid, without making the others."""
    places = []
    for parameter in reversed(parameters):
        index, place = divmod(index, len(parameter.values))
        places.append(place)
    return {
        parameter.name: parameter.values[place]
        for parameter, place in zip(parameters, reversed(places))
    }


def table(path: str) -> list[Combination]:
    """Read a CSV file, ``-`` for standard input: names in the first row, then a row per task.

    Raises HpcwatchError that names the line.
    """
    where = "standard input" if path == "-" else path
    try:
        if path == "-":
            return _rows(sys.stdin, where)
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return _rows(stream, where)
    except OSError as error:
        raise _wrong(f"cannot read {path}", os_reason(error)) from None
    except UnicodeDecodeError:
        raise _wrong(f"cannot read {where}", "it is not UTF-8 text") from None


def _rows(lines: Iterable[str], where: str) -> list[Combination]:
    reader = csv.reader(lines, strict=True)
    names: list[str] = []
    found: list[Combination] = []
    try:
        for row in reader:
            if not row:
                continue
            if not names:
                names = [name.strip() for name in row]
                for name in names:
                    require_name(name)
                _require_distinct(names)
                continue
            if len(row) != len(names):
                message = f"{where}, line {reader.line_num}: {len(row)} values"
                raise _wrong(message, f"the first line names {len(names)}")
            for name, value in zip(names, row):
                require_value(name, value)
            found.append(dict(zip(names, row)))
            _require_possible(len(found))
    except csv.Error as error:
        raise _wrong(f"{where}, line {reader.line_num} is not CSV", str(error)) from None
    if not found:
        raise _wrong(f"{where} holds no tasks", "names in the first line, then a line per task")
    return found


def times(rows: Sequence[Combination], parameters: Sequence[Parameter]) -> list[Combination]:
    """Return every row of a table with every combination of further parameters."""
    if not parameters:
        return list(rows)
    _require_distinct([*rows[0], *(parameter.name for parameter in parameters)])
    others = grid(parameters)
    _require_possible(len(rows) * len(others))
    return [{**row, **other} for row in rows for other in others]


def _require_distinct(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _wrong(f"the parameter {twice[0]} occurs twice", "name it once")


def _require_possible(count: int) -> None:
    if not 1 <= count <= MOST_TASKS:
        raise _wrong(f"{count:,} tasks", f"a sweep takes 1 to {MOST_TASKS:,}")


def _wrong(message: str, hint: str) -> HpcwatchError:
    return HpcwatchError(message, hint, EXIT_USAGE)
