"""Checks of plain values from foreign JSON: each returns the value, or raises.

TypeError is for a value of another kind, OutOfRangeError for a number that cannot be.
"""

from itertools import chain
from operator import le
from typing import Any, Callable, Dict, List, Tuple

from .ranges import range_of

Check = Callable[[Any], Any]

MOST_LAYOUTS = 1000
"""How many combinations of keys are remembered: lines of a recording are alike."""
MOST_CHARACTERS = 2000
"""The most characters of keys that are remembered: foreign keys may have any length."""

NUMBERS = frozenset((int, float))
EXTREMES = Tuple[float, float, float]
"""The least, the mean and the largest of a gauge."""


class OutOfRangeError(ValueError):
    """A number that no field of this name can have."""


def enum_checker(kind: Any) -> Check:
    """Return what finds a member. A word of another version is UNKNOWN, if there is that."""
    unknown = kind.__members__.get("UNKNOWN")
    if unknown is None:
        return kind  # type: ignore[no-any-return]
    members = {member.value: member for member in kind}
    return lambda value: members.get(value, unknown) if isinstance(value, str) else kind(value)


def list_checker(item: Check, arguments: Tuple[Any, ...], name: str) -> Check:
    """Return what checks each item of a list."""
    if arguments[0] is not float:
        return lambda value: [item(one) for one in _list(value)]
    high = range_of(name).high

    def check(value: Any) -> Any:
        # Faster than checking each item: every line of a node with 128 cores has them all.
        is_sound = NUMBERS.issuperset(map(type, _list(value))) and _are_between(value, high)
        return value if is_sound else [item(one) for one in value]

    return check


def _are_between(numbers: List[Any], high: float) -> bool:
    """Return True if all are between 0 and ``high``. min and max may overlook NaN, sum does not."""
    return not numbers or bool(min(numbers) >= 0 and max(numbers) <= high and sum(numbers) >= 0)


def dict_checker(item: Check, arguments: Tuple[Any, ...], _name: str) -> Check:
    """Return what checks each value of a dict. The keys of extremes are names of gauges."""
    if arguments[1] != EXTREMES:
        return lambda value: {_str(key): item(one) for key, one in _dict(value).items()}

    highs: Dict[Tuple[str, ...], Tuple[float, ...]] = {}

    def check(value: Any) -> Any:
        rows = list(_dict(value).values())
        if not _are_rows(rows) or not are_in_range(_flat(rows), _highs(highs, value)):
            for key, row in value.items():
                if not is_row(_str(key), row):
                    raise OutOfRangeError("%s is %.80r" % (key, row))
        return dict(zip(value, map(tuple, rows)))

    return check


def _are_rows(rows: List[Any]) -> bool:
    """Return True if all are lists of three numbers. Faster than checking each row."""
    return (
        set(map(type, rows)) <= {list}
        and set(map(len, rows)) <= {3}
        and NUMBERS.issuperset(map(type, chain.from_iterable(rows)))
    )


def _flat(rows: List[Any]) -> Tuple[Any, ...]:
    return tuple(chain.from_iterable(rows)) or (0,)


def _highs(known: Dict[Tuple[str, ...], Tuple[float, ...]], names: Dict[str, Any]) -> Any:
    """Return the upper limit of each number of these rows; limits of the same names are kept."""
    key = tuple(names)
    found = known.get(key)
    if found is None:
        found = tuple(chain.from_iterable((range_of(_str(name)).high,) * 3 for name in key))
        if len(known) < MOST_LAYOUTS and sum(map(len, key)) <= 20 * MOST_CHARACTERS:
            known[key] = found
    return found


def is_row(key: str, row: Any) -> bool:
    """Return True if a gauge of this name can have these three numbers.

    Raises TypeError for anything but a list of three numbers.
    """
    if type(row) is not list or len(row) != 3 or not NUMBERS.issuperset(map(type, row)):
        raise TypeError("%.80r are not three numbers" % (row,))
    low, high = range_of(key)
    return bool(low <= row[0] <= high and low <= row[1] <= high and low <= row[2] <= high)


def tuple_checker(item: Check, arguments: Tuple[Any, ...], _name: str) -> Check:
    """Return what makes a tuple of a list: of any length, or of the annotated length."""
    if arguments[1:] == (...,):
        return lambda value: tuple(item(one) for one in _list(value))

    def check(value: Any) -> Any:
        if len(_list(value)) != len(arguments):
            raise TypeError("not %d values" % len(arguments))
        return tuple(item(one) for one in value)

    return check


def are_in_range(numbers: Tuple[Any, ...], highs: Tuple[float, ...]) -> bool:
    """Return True if all are. False also if one is negative, which some may be."""
    return bool(min(numbers) >= 0) and all(map(le, numbers, highs))


def number_checker(kind: type, name: str) -> Check:
    """Return what checks a number's kind, and its range by the name of its field."""
    low, high = range_of(name)

    def check(value: Any) -> Any:
        if type(value) not in NUMBERS:
            raise TypeError("%.80r is no number" % (value,))
        if not low <= value <= high:
            raise OutOfRangeError("%s cannot be %.80r" % (name, value))
        if kind is int and type(value) is not int:
            raise TypeError("%r is no whole number" % (value,))
        return value

    return check


def _str(value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError("%r is no text" % (value,))
    return value


def _bool(value: Any) -> Any:
    if not isinstance(value, bool):
        raise TypeError("%r is neither true nor false" % (value,))
    return value


def _list(value: Any) -> Any:
    if not isinstance(value, list):
        raise TypeError("%r is no list" % (value,))
    return value


def _dict(value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError("%r is no object" % (value,))
    return value


SIMPLE: Dict[Any, Check] = {Any: lambda value: value, str: _str, bool: _bool}
CONTAINERS: Dict[Any, Callable[[Check, Tuple[Any, ...], str], Check]] = {
    tuple: tuple_checker,
    list: list_checker,
    dict: dict_checker,
}
