"""Build typed records from foreign JSON: every value is checked against its annotation.

Unknown keys are ignored, missing ones take their default; what does not fit raises TypeError or
ValueError. A number out of its range (``ranges``) is unknown where a record allows that, and the
caller may ask for the names of those. Used where recordings and probes' lines are read, and once by
a probe: its header.
"""

import enum
import sys
import typing
from itertools import chain
from operator import itemgetter, le
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from .ranges import range_of
from .typed import meaning

Check = Callable[[Any], Any]

_MISSING: Any = object()
_MOST_LAYOUTS = (
    1000  # of a record: there are as many as its fields can be known or unknown together
)
_MOST_CHARACTERS = 2000  # of a layout's keys: foreign ones may be of any length


class OutOfRangeError(ValueError):
    """A number that no field of this name can have."""


class _Layout(NamedTuple):
    """What to do with the values of a dict of known keys, in the order that it has them."""

    inner: List[Tuple[int, Check]]
    """Places of records and collections: what is in them is always checked."""
    numbers: Optional[Callable[[List[Any]], Tuple[Any, ...]]]
    """Picks the numbers out; None if there are none."""
    highs: Tuple[float, ...]
    """The most that each of the numbers may be. The least is hardly ever below 0."""
    arranged: Callable[[List[Any]], Tuple[Any, ...]]
    """Puts the values, followed by the record's defaults, into the order of its fields."""


def _hints(record: Any, types: Dict[str, Any]) -> Dict[str, Any]:
    """Return the types of a record's fields, also of those written ``int | None``.

    Those of ``types``, by field, stand in for its own. Before Python 3.10 types have no ``|``:
    there ``Union`` stands in for it.
    """
    if sys.version_info >= (3, 10):
        hints = dict(typing.get_type_hints(record), **types)
    else:
        known = dict(vars(sys.modules[record.__module__]), _Union=typing.Union)
        hints = dict(record.__annotations__, **types)
        for name, hint in hints.items():
            words = getattr(hint, "__forward_arg__", hint)
            if isinstance(words, str):
                code = compile(_without_bars(words), record.__module__, "eval")
                hints[name] = eval(code, known)  # noqa: S307 ours
    return {name: meaning(hint) for name, hint in hints.items()}


def _without_bars(words: str) -> Any:
    """Return the code of a type's words with ``A | B`` rewritten as ``_Union[A, B]``."""
    import ast  # takes longer to import than all of this module

    class Unions(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:  # noqa: N802 ast's name
            pair = ast.parse("_Union[0, 0]", mode="eval").body
            assert isinstance(pair, ast.Subscript)
            both: Any = pair.slice if hasattr(pair.slice, "elts") else pair.slice.value  # type: ignore[attr-defined]
            both.elts = [self.visit(node.left), self.visit(node.right)]
            return pair

    return ast.fix_missing_locations(Unions().visit(ast.parse(words, mode="eval")))


class _Plan:
    """How a record is built.

    A recording has millions of values, and its lines are alike: once a record's values were
    checked one by one, others with the very same keys and types need no such look, but at their
    numbers.
    """

    def __init__(self, record: Any, types: Optional[Dict[str, Any]]) -> None:
        hints = _hints(record, types or {})
        defaults = getattr(record, "_field_defaults", {})
        self.record = record
        self.defaults = [defaults.get(name, _MISSING) for name in record._fields]
        self.hints = hints
        self.checks = [(name, _checker(hints[name], name)) for name in record._fields]
        self.inner = {
            name: _checker(_optional(hints[name]) or hints[name], name)
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
        if layout.numbers is not None and not _are_in_range(layout.numbers(values), layout.highs):
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
        if len(self.layouts) < _MOST_LAYOUTS and sum(map(len, plain)) <= _MOST_CHARACTERS:
            self.layouts[(*plain, *map(type, plain.values()))] = self._layout(plain)
        return made

    def _layout(self, plain: Dict[str, Any]) -> _Layout:
        places = {name: place for place, name in enumerate(plain)}
        known = [name for name in self.record._fields if plain.get(name) is not None]
        names = [name for name in known if type(plain[name]) in _NUMBERS]
        numbers = [places[name] for name in names]
        order = [
            places.get(name, default)
            for default, name in enumerate(self.record._fields, len(plain))
        ]
        return _Layout(
            [(places[name], self.inner[name]) for name in known if name in self.inner],
            # Of one place alone itemgetter gives no tuple.
            itemgetter(numbers[0], *numbers) if numbers else None,
            tuple(range_of(name).high for name in (names[0], *names)) if numbers else (),
            itemgetter(*order) if len(order) > 1 else lambda values: (values[order[0]],),
        )

    def without_odd(self, plain: Any, odd: List[str]) -> Any:
        """Return a copy without the numbers that are out of range; note their names.

        What may not be unknown stays, and is an error when the record is built.
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
                    if default is _MISSING and _optional(self.hints[name]) is None:
                        kept[name] = plain[name]
                    else:
                        del kept[name]
            except (TypeError, ValueError):
                continue
        return kept


def _cleaned(hint: Any, value: Any, odd: List[str]) -> Any:
    """Return a record, or a list of them, without what is odd in it; _MISSING for a number."""
    hint = _optional(hint) or hint
    if hasattr(hint, "_fields"):
        return _plan(hint).without_odd(value, odd)
    items = getattr(hint, "__args__", None) or ()
    if isinstance(value, list) and items and hasattr(items[0], "_fields"):
        return [_plan(items[0]).without_odd(one, odd) for one in value]
    if isinstance(value, dict) and items and items[-1] == _EXTREMES:
        wrong = [key for key, row in value.items() if not _is_row(key, row)]
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
    """Build a NamedTuple, and the records it is made of, from a dict.

    ``types`` are those of fields whose modules are imported for the type checker only. To ``odd``
    go the names of the numbers that are unknown for being out of range.
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
    """Return True for a text, a number, a truth value, also one that may be unknown."""
    return hint in _SIMPLE or _optional(hint) in _SIMPLE


def _optional(hint: Any) -> Any:
    """Return what a value is annotated as if it may also be None; else None."""
    arguments: Tuple[Any, ...] = getattr(hint, "__args__", None) or ()
    others = [argument for argument in arguments if argument is not type(None)]
    return others[0] if len(others) == 1 and len(arguments) == 2 else None


def _checker(hint: Any, name: str) -> Check:
    """Return what turns the plain value of a field into one of the annotated type."""
    if hint in (int, float):
        return _number_checker(hint, name)
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if hasattr(hint, "_fields"):
        return _plan(hint).build
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum_checker(hint)
    # Python 3.6 has ``List`` for the origin of ``List[int]``, and the type itself in ``__extra__``.
    origin: Any = getattr(hint, "__extra__", None) or getattr(hint, "__origin__", None)
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](getattr(hint, "__args__", ()), name)
    optional = _optional(hint)
    if optional is not None:
        inner = _checker(optional, name)
        return lambda value: None if value is None else inner(value)
    raise TypeError("no checker for %r" % (hint,))


def _enum_checker(kind: Any) -> Check:
    """Return what finds a member; a word of another version is UNKNOWN, where there is that."""
    unknown = kind.__members__.get("UNKNOWN")
    if unknown is None:
        return kind  # type: ignore[no-any-return]
    members = {member.value: member for member in kind}
    return lambda value: members.get(value, unknown) if isinstance(value, str) else kind(value)


def _list_checker(arguments: Tuple[Any, ...], name: str) -> Check:
    item = _checker(arguments[0], name)
    if arguments[0] is not float:
        return lambda value: [item(one) for one in _list(value)]
    high = range_of(name).high

    def check(value: Any) -> Any:
        # Quicker than to look at each: a node of 128 cores gives all of them in every line.
        is_sound = _NUMBERS.issuperset(map(type, _list(value))) and _are_between(value, high)
        return value if is_sound else [item(one) for one in value]

    return check


def _are_between(numbers: List[Any], high: float) -> bool:
    """Return True if all are between 0 and the highest; NaN may hide from min and max."""
    return not numbers or bool(min(numbers) >= 0 and max(numbers) <= high and sum(numbers) >= 0)


def _dict_checker(arguments: Tuple[Any, ...], name: str) -> Check:
    if arguments[1] != _EXTREMES:
        item = _checker(arguments[1], name)
        return lambda value: {_str(key): item(one) for key, one in _dict(value).items()}

    highs: Dict[Tuple[str, ...], Tuple[float, ...]] = {}

    def check(value: Any) -> Any:
        rows = list(_dict(value).values())
        if not _are_rows(rows) or not _are_in_range(_flat(rows), _highs(highs, value)):
            for key, row in value.items():
                if not _is_row(_str(key), row):
                    raise OutOfRangeError("%s is %.80r" % (key, row))
        return dict(zip(value, map(tuple, rows)))

    return check


def _are_rows(rows: List[Any]) -> bool:
    """Return True if all are lists of three numbers: quicker than to look at each."""
    return (
        set(map(type, rows)) <= {list}
        and set(map(len, rows)) <= {3}
        and _NUMBERS.issuperset(map(type, chain.from_iterable(rows)))
    )


def _flat(rows: List[Any]) -> Tuple[Any, ...]:
    return tuple(chain.from_iterable(rows)) or (0,)


def _highs(known: Dict[Tuple[str, ...], Tuple[float, ...]], names: Dict[str, Any]) -> Any:
    """Return the most that each number of these rows may be: lines are alike, it is known."""
    key = tuple(names)
    found = known.get(key)
    if found is None:
        found = tuple(chain.from_iterable((range_of(_str(name)).high,) * 3 for name in key))
        if len(known) < _MOST_LAYOUTS and sum(map(len, key)) <= 20 * _MOST_CHARACTERS:
            known[key] = found
    return found


def _is_row(key: str, row: Any) -> bool:
    """Return True for three numbers, in order, that a gauge of this name can have.

    Raises TypeError for what is no list of three numbers.
    """
    if type(row) is not list or len(row) != 3 or not _NUMBERS.issuperset(map(type, row)):
        raise TypeError("%.80r are not three numbers" % (row,))
    low, high = range_of(key)
    return bool(low <= row[0] <= high and low <= row[1] <= high and low <= row[2] <= high)


def _tuple_checker(arguments: Tuple[Any, ...], name: str) -> Check:
    item = _checker(arguments[0], name)
    if arguments[1:] == (...,):
        return lambda value: tuple(item(one) for one in _list(value))

    def check(value: Any) -> Any:
        if len(_list(value)) != len(arguments):
            raise TypeError("not %d values" % len(arguments))
        return tuple(item(one) for one in value)

    return check


def _are_in_range(numbers: Tuple[Any, ...], highs: Tuple[float, ...]) -> bool:
    """Return True if all are; False also for some that may be negative: look at each then."""
    return bool(min(numbers) >= 0) and all(map(le, numbers, highs))


def _number_checker(kind: type, name: str) -> Check:
    low, high = range_of(name)

    def check(value: Any) -> Any:
        if type(value) not in _NUMBERS:
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


_NUMBERS = frozenset((int, float))
_EXTREMES = Tuple[float, float, float]
_SIMPLE: Dict[Any, Check] = {
    Any: lambda value: value,
    int: _MISSING,  # by their names
    float: _MISSING,
    str: _str,
    bool: _bool,
}
_CONTAINERS: Dict[Any, Callable[[Tuple[Any, ...], str], Check]] = {
    tuple: _tuple_checker,
    list: _list_checker,
    dict: _dict_checker,
}
