"""Parameters as a person writes them: ``layers=1,2,3``, ``n=1..9:2``, ``lr=log:1e-4..1e-1:5``."""

from __future__ import annotations

import csv
import math
import random
import re
from typing import NamedTuple

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

MOST_VALUES = 100_000  # of one parameter; more is probably a typing error
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_WHOLE = re.compile(r"(-?\d{1,15})\.\.(-?\d{1,15})(?::(\d{1,15}))?", re.ASCII)
_SPACED = re.compile(r"(lin|log):(.+?)\.\.([^:]+)(?::(\d{1,6}))?", re.ASCII)


class Continuous(NamedTuple):
    """An interval to draw from: ``lin:0..1`` evenly, ``log:1e-4..1e-1`` evenly in its logarithm."""

    kind: str
    low: float
    high: float

    def at(self, share: float) -> str:
        """Return the value at a position (0 to 1) of the interval."""
        if self.kind == "lin":
            return number(self.low + share * (self.high - self.low))
        low, high = math.log(self.low), math.log(self.high)
        return number(math.exp(low + share * (high - low)))


class Parameter(NamedTuple):
    """A parameter: the values to try, as text, or an interval to draw from."""

    name: str
    values: tuple[str, ...]
    interval: Continuous | None = None

    def draw(self, rng: random.Random) -> str:
        """Return one of its values, drawn at random."""
        return rng.choice(self.values) if self.interval is None else self.interval.at(rng.random())


def parse(text: str) -> Parameter:
    """Read ``NAME=VALUES``. Raises HpcwatchError that says what is wrong.

    Values are separated by commas; one with a comma of its own stands in double quotes, as in CSV.
    """
    name, equals, rest = text.partition("=")
    if not equals:
        raise _wrong(f"-p {text} has no values", "write -p layers=1,2,3")
    require_name(name)
    if rest.startswith(("lin:", "log:")):
        return _spaced(name, rest)
    values: list[str] = []
    for value in _split(name, rest):
        values += _whole(name, value)
    return _checked(Parameter(name, tuple(values)))


def require_name(name: str) -> None:
    """Raise HpcwatchError unless the text is a valid parameter name."""
    if _NAME.fullmatch(name) is None:
        hint = "use letters, digits, _ and -, a letter first"
        raise _wrong(f"{name!r} cannot name a parameter", hint)


def require_value(name: str, value: str) -> None:
    """Raise HpcwatchError if this value cannot be a program's argument."""
    if "\0" in value:
        raise _wrong(f"a value of {name} holds a NUL character", "no argument can")


def number(value: float) -> str:
    """Write a number as short as six digits allow: ``0.001``, ``512``, ``1e-07``."""
    return f"{value:.6g}"


def _split(name: str, text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise _wrong(f"cannot read the values of {name}", str(error)) from None
    if not text or not rows:
        raise _wrong(f"{name} has no values", f"write -p {name}=1,2,3")
    return rows[0]


def _whole(name: str, text: str) -> list[str]:
    """Expand ``1..9:2``; any other text is a value as it stands."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        return [text]
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if step == 0 or last < first:
        raise _wrong(f"{name}={text} is an empty range", "write first..last or first..last:step")
    if (last - first) // step >= MOST_VALUES:
        raise _wrong(f"{name}={text} has more than {MOST_VALUES:,} values", "take larger steps")
    return [str(value) for value in range(first, last + 1, step)]


def _spaced(name: str, text: str) -> Parameter:
    match = _SPACED.fullmatch(text)
    hint = f"write {text[:3]}:FIRST..LAST:HOW_MANY, such as {text[:3]}:1e-4..1e-1:4"
    if match is None:
        raise _wrong(f"{name}={text} is not a range", hint)
    try:
        interval = Continuous(match[1], float(match[2]), float(match[3]))
    except ValueError:
        raise _wrong(f"{name}={text} is not a range of numbers", hint) from None
    low, high = interval.low, interval.high
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low)):
        raise _wrong(f"{name}={text} is not a range of finite numbers", hint)
    if interval.kind == "log" and min(low, high) <= 0:
        raise _wrong(f"{name}={text} needs numbers above 0", "use lin: across 0")
    if match[4] is None:
        return Parameter(name, (), interval)
    count = int(match[4])
    if not 2 <= count <= MOST_VALUES:
        raise _wrong(f"{name}={text} has {count} values", f"ask for 2 to {MOST_VALUES:,}")
    inner = [interval.at(index / (count - 1)) for index in range(1, count - 1)]
    return _checked(Parameter(name, (number(low), *inner, number(high))))


def _checked(parameter: Parameter) -> Parameter:
    if len(parameter.values) > MOST_VALUES:
        raise _wrong(f"{parameter.name} has more than {MOST_VALUES:,} values", "name fewer")
    seen: set[str] = set()
    for value in parameter.values:
        require_value(parameter.name, value)
        if value in seen:
            raise _wrong(f"{parameter.name} has the value {value!r} twice", "name it once")
        seen.add(value)
    return parameter


def _wrong(message: str, hint: str) -> HpcwatchError:
    return HpcwatchError(message, hint, EXIT_USAGE)
