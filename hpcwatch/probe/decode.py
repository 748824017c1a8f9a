"""Build typed records from foreign JSON: every value is checked against its annotation.

Unknown keys are ignored, missing ones take their default; what does not fit raises TypeError or
ValueError. A number out of its range (``ranges``) is unknown where a record allows that, and the
caller may ask for the names of those. Recordings and the lines of probes are read with it; a probe
reads its header.
"""

import enum
from operator import itemgetter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .checks import (
    CONTAINERS,
    EXTREMES,
    MOST_CHARACTERS,
    MOST_LAYOUTS,
    NUMBERS,
    SIMPLE,
    Check,
    OutOfRangeError,
    are_in_range,
    enum_checker,
    is_row,
    number_checker,
)
from .hints import hints_of, optional
from .ranges import range_of

_MISSING: Any = object()


class _Layout(NamedTuple):
    """What to do with the values of a dict whose keys and types are known, in the dict's order."""

    inner: List[Tuple[int, Check]]
    """Places of records and collections: what is in them is always checked."""
    numbers: Optional[Callable[[List[Any]], Tuple[Any, ...]]]
    """Picks out the numbers; None if there are none."""
    highs: Tuple[float, ...]
    """The upper limit of each number. Hardly any number may be below 0."""
    arranged: Callable[[List[Any]], Tuple[Any, ...]]
    """Puts the values, followed by the record's defaults, into the order of its fields."""


class _Plan:
    """How a record is built.

    A recording has millions of values, and its lines are alike. The first dict with given keys and
    types is checked value by value. Of later ones with the same keys and types only the numbers
    are checked.
    """

    def __init__(self, record: Any, types: Optional[Dict[str, Any]]) -> None:
        hints = hints_of(record, types or {})
        defaults = getattr(record, "_field_defaults", {})
        self.record = record
        self.defaults = [defaults.get(name, _MISSING) for name in record._fields]
        self.hints = hints
        self.checks = [(name, _checker(hints[name], name)) for name in record._fields]
        self.inner = {
            name: _checker(optional(hints[name]) or hints[name], name)
            for name in record._fields
            if not _is_simple(hints[name])
        }
        """Checks of records and collections that are not None."""
        self.layouts: Dict[Tuple[Any, ...], _Layout] = {}
        """Keys and types of values that fit."""

    def build(self, plain: Any) -> Any:
        """Build the record from a dict. Raises TypeError or ValueError."""
        if not isinstance(plain, dict):
            raise TypeError("%s is no object" % self.record.__name__)
        layout = self.layouts.get((*plain, *map(type, plain.values())))
        if layout is None:
            return self._learn(plain)
        values = list(plain.values())
        if layout.numbers is not None and not are_in_range(layout.numbers(values), layout.highs):
            return self._slowly(plain)
        for place, check in layout.inner:
            values[place] = check(values[place])
        values += self.defaults
        return tuple.__new__(self.record, layout.arranged(values))

    def _slowly(self, plain: Dict[str, Any]) -> Any:
        return self.record(
            **{name: check(plain[name]) for name, check in self.checks if name in plain}
        )

    def _learn(self, plain: Dict[str, Any]) -> Any:
        made = self._slowly(plain)
        if len(self.layouts) < MOST_LAYOUTS and sum(map(len, plain)) <= MOST_CHARACTERS:
            self.layouts[(*plain, *map(type, plain.values()))] = self._layout(plain)
        return made

    def _layout(self, plain: Dict[str, Any]) -> _Layout:
        places = {name: place for place, name in enumerate(plain)}
        known = [name for name in self.record._fields if plain.get(name) is not None]
        names = [name for name in known if type(plain[name]) in NUMBERS]
        numbers = [places[name] for name in names]
        order = [
            places.get(name, default)
            for default, name in enumerate(self.record._fields, len(plain))
        ]
        return _Layout(
            [(places[name], self.inner[name]) for name in known if name in self.inner],
            # itemgetter with a single place returns no tuple.
            itemgetter(numbers[0], *numbers) if numbers else None,
            tuple(range_of(name).high for name in (names[0], *names)) if numbers else (),
            itemgetter(*order) if len(order) > 1 else lambda values: (values[order[0]],),
        )

    def without_odd(self, plain: Any, odd: List[str]) -> Any:
        """Return a copy without the numbers that are out of range; note their names.

        A number that may not be unknown stays; building the record then fails.
        """
        if not isinstance(plain, dict):
            return plain
        kept = dict(plain)
        for (name, check), default in zip(self.checks, self.defaults):
            if name not in kept:
                continue
            try:
                check(kept[name])
            except OutOfRangeError:
                kept[name] = _cleaned(self.hints[name], kept[name], odd)
                if kept[name] is _MISSING:
                    odd.append(name)
                    if default is _MISSING and optional(self.hints[name]) is None:
                        kept[name] = plain[name]
                    else:
                        del kept[name]
            except (TypeError, ValueError):
                continue
        return kept


def _cleaned(hint: Any, value: Any, odd: List[str]) -> Any:
    """Return a record, or a list of records, without its odd numbers; _MISSING for a number."""
    hint = optional(hint) or hint
    if hasattr(hint, "_fields"):
        return _plan(hint).without_odd(value, odd)
    items = getattr(hint, "__args__", None) or ()
    if isinstance(value, list) and items and hasattr(items[0], "_fields"):
        return [_plan(items[0]).without_odd(one, odd) for one in value]
    if isinstance(value, dict) and items and items[-1] == EXTREMES:
        wrong = [key for key, row in value.items() if not is_row(key, row)]
        odd.extend(wrong)
        return {key: row for key, row in value.items() if key not in wrong}
    return _MISSING


_PLANS: Dict[type, _Plan] = {}


def build(
    record: Any,
    plain: Any,
    types: Optional[Dict[str, Any]] = None,
    odd: Optional[List[str]] = None,
) -> Any:
    """Build a NamedTuple, and the records in it, from a dict.

    ``types`` gives the types of fields whose modules are imported for the type checker only. The
    names of numbers that are out of range, and so unknown, are appended to ``odd``.
    """
    plan = _PLANS.get(record) or _plan(record, types)
    try:
        return plan.build(plain)
    except OutOfRangeError:
        return plan.build(plan.without_odd(plain, [] if odd is None else odd))


def _plan(record: Any, types: Optional[Dict[str, Any]] = None) -> _Plan:
    if record not in _PLANS:
        _PLANS[record] = _Plan(record, types)
    return _PLANS[record]


def _is_simple(hint: Any) -> bool:
    """Return True for a text, a number or a truth value, also for one that may be None."""
    return any(one in SIMPLE or one in (int, float) for one in (hint, optional(hint)))


def _checker(hint: Any, name: str) -> Check:
    """Return the function that turns a field's plain value into one of the annotated type."""
    if hint in (int, float):
        return number_checker(hint, name)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if hasattr(hint, "_fields"):
        return _plan(hint).build
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return enum_checker(hint)
    # Python 3.6 has ``List`` for the origin of ``List[int]``, and the type itself in ``__extra__``.
    origin: Any = getattr(hint, "__extra__", None) or getattr(hint, "__origin__", None)
    if origin in CONTAINERS:
        arguments = getattr(hint, "__args__", ())
        item = _checker(arguments[1 if origin is dict else 0], name)
        return CONTAINERS[origin](item, arguments, name)
    inner_hint = optional(hint)
    if inner_hint is not None:
        inner = _checker(inner_hint, name)
        return lambda value: None if value is None else inner(value)
    raise TypeError("no checker for %r" % (hint,))
