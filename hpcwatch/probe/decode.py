"""Build typed records from foreign JSON: every value is checked against its annotation.

Unknown keys are ignored, missing ones take their default; what does not fit raises TypeError or
ValueError. Used where recordings and probes' lines are read, and once by a probe: its header.
"""

import ast
import enum
import math
import sys
import typing
from itertools import chain
from operator import itemgetter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

Check = Callable[[Any], Any]

_MISSING: Any = object()
_MOST_LAYOUTS = (
    1000  # of a record: there are as many as its fields can be known or unknown together
)
_MOST_CHARACTERS = 2000  # of a layout's keys: foreign ones may be of any length


class _Layout(NamedTuple):
    """What to do with the values of a dict of known keys, in the order that it has them."""

    inner: List[Tuple[int, Check]]
    """Places of records and collections: what is in them is always checked."""
    numbers: Optional[Callable[[List[Any]], Tuple[Any, ...]]]
    """Picks the numbers out; None if there are none."""
    arranged: Callable[[List[Any]], Tuple[Any, ...]]
    """Puts the values, followed by the record's defaults, into the order of its fields."""


def _hints(record: Any, names: Dict[str, Any]) -> Dict[str, Any]:
    """Return the types of a record's fields, also of those written ``int | None``.

    Before Python 3.10 types have no ``|``: there ``Union`` stands in for it.
    """
    if sys.version_info >= (3, 10):
        return typing.get_type_hints(record, localns=names)
    known = dict(vars(sys.modules[record.__module__]), **names)
    known["_Union"] = typing.Union
    hints = {}
    for name, hint in record.__annotations__.items():
        words = getattr(hint, "__forward_arg__", hint)
        hints[name] = hint
        if isinstance(words, str):
            tree = ast.fix_missing_locations(_Unions().visit(ast.parse(words, mode="eval")))
            hints[name] = eval(compile(tree, record.__module__, "eval"), known)  # noqa: S307 ours
    return hints


class _Unions(ast.NodeTransformer):
    """Rewrites ``A | B`` as ``_Union[A, B]``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:  # noqa: N802 ast's name
        """Rewrite one union and those inside of it."""
        pair = ast.parse("_Union[0, 0]", mode="eval").body
        assert isinstance(pair, ast.Subscript)
        both: Any = pair.slice if hasattr(pair.slice, "elts") else pair.slice.value  # type: ignore[attr-defined]
        both.elts = [self.visit(node.left), self.visit(node.right)]
        return pair


class _Plan:
    """How a record is built.

    A recording has millions of values, and its lines are alike: once a record's values were
    checked one by one, others with the very same keys and types need no such look, but at their
    numbers.
    """

    def __init__(self, record: Any, names: Optional[Dict[str, Any]]) -> None:
        hints = _hints(record, names or {})
        defaults = getattr(record, "_field_defaults", {})
        self.record = record
        self.defaults = [defaults.get(name, _MISSING) for name in record._fields]
        self.checks = [(name, _checker(hints[name])) for name in record._fields]
        self.inner = {
            name: _checker(_optional(hints[name]) or hints[name])
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
        if layout.numbers is not None and not _is_finite(layout.numbers(values)):
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
        numbers = [places[name] for name in known if type(plain[name]) in _NUMBERS]
        order = [
            places.get(name, default)
            for default, name in enumerate(self.record._fields, len(plain))
        ]
        return _Layout(
            [(places[name], self.inner[name]) for name in known if name in self.inner],
            # Of one place alone itemgetter gives no tuple.
            itemgetter(numbers[0], *numbers) if numbers else None,
            itemgetter(*order) if len(order) > 1 else lambda values: (values[order[0]],),
        )


_PLANS: Dict[type, _Plan] = {}


def build(record: Any, plain: Any, names: Optional[Dict[str, Any]] = None) -> Any:
    """Build a NamedTuple, and the records it is made of, from a dict.

    ``names`` are those in its annotations that its module imports for the type checker only.
    """
    return (_PLANS.get(record) or _plan(record, names)).build(plain)


def _plan(record: Any, names: Optional[Dict[str, Any]] = None) -> _Plan:
    if record not in _PLANS:
        _PLANS[record] = _Plan(record, names)
    return _PLANS[record]


def _is_simple(hint: Any) -> bool:
    """Return True for a text, a number, a truth value, also one that may be unknown."""
    return hint in _SIMPLE or _optional(hint) in _SIMPLE


def _optional(hint: Any) -> Any:
    """Return what a value is annotated as if it may also be None; else None."""
    arguments: Tuple[Any, ...] = getattr(hint, "__args__", None) or ()
    others = [argument for argument in arguments if argument is not type(None)]
    return others[0] if len(others) == 1 and len(arguments) == 2 else None


def _checker(hint: Any) -> Check:
    """Return what turns a plain value into one of the annotated type."""
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if hasattr(hint, "_fields"):
        return _plan(hint).build
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint
    # Python 3.6 has ``List`` for the origin of ``List[int]``, and the type itself beside it.
    origin: Any = getattr(hint, "__extra__", None) or getattr(hint, "__origin__", None)
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](getattr(hint, "__args__", ()))
    optional = _optional(hint)
    if optional is not None:
        inner = _checker(optional)
        return lambda value: None if value is None else inner(value)
    raise TypeError("no checker for %r" % (hint,))


def _list_checker(arguments: Tuple[Any, ...]) -> Check:
    item = _checker(arguments[0])
    if arguments[0] is not float:
        return lambda value: [item(one) for one in _list(value)]
    return lambda value: value if _are_numbers(_list(value)) else [item(one) for one in value]


def _dict_checker(arguments: Tuple[Any, ...]) -> Check:
    item = _checker(arguments[1])
    if arguments[1] != _EXTREMES:
        return lambda value: {_str(key): item(one) for key, one in _dict(value).items()}

    def check(value: Any) -> Any:
        rows = list(_dict(value).values())
        if not _are_extremes(rows):
            rows = [item(one) for one in rows]
        if not set(map(type, value)) <= {str}:
            raise TypeError("a name is no text")
        return dict(zip(value, map(tuple, rows)))

    return check


def _tuple_checker(arguments: Tuple[Any, ...]) -> Check:
    item = _checker(arguments[0])
    if arguments[1:] == (...,):
        return lambda value: tuple(item(one) for one in _list(value))

    def check(value: Any) -> Any:
        if len(_list(value)) != len(arguments):
            raise TypeError("not %d values" % len(arguments))
        return tuple(item(one) for one in value)

    return check


def _are_extremes(rows: List[Any]) -> bool:
    """Return True if all are lists of three numbers: quicker than to look at each."""
    return (
        set(map(type, rows)) <= {list}
        and set(map(len, rows)) <= {3}
        and _are_numbers(list(chain.from_iterable(rows)))
    )


def _are_numbers(values: List[Any]) -> bool:
    """Return True if all are finite numbers: quicker than to look at each."""
    return _NUMBERS.issuperset(map(type, values)) and _is_finite(values)


def _is_finite(numbers: typing.Sequence[Any]) -> bool:
    """Return True if all numbers are; False also for some whose sum is too large to tell."""
    try:
        return math.isfinite(sum(numbers))
    except OverflowError:
        return False


def _float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("%r is no number" % (value,))
    if not _is_finite((value,)):
        raise ValueError("%r is no number" % (value,))
    return value


def _int(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("%r is no whole number" % (value,))
    if not _is_finite((value,)):  # such as no float can hold
        raise ValueError("%d digits are no number" % len(str(value)))
    return value


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
    float: _float,
    int: _int,
    str: _str,
    bool: _bool,
}
_CONTAINERS: Dict[Any, Callable[[Tuple[Any, ...]], Check]] = {
    tuple: _tuple_checker,
    list: _list_checker,
    dict: _dict_checker,
}
