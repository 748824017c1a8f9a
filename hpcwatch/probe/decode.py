"""Build typed records from foreign JSON: every value is checked against its annotation.

Unknown keys are ignored, missing ones take their default; what does not fit raises TypeError or
ValueError. Used where recordings and probes' lines are read, and once by a probe: its header.
"""

import enum
import math
import typing
from typing import Any, Callable, Dict, List, Optional, Tuple

Check = Callable[[Any], Any]

_FIELDS: Dict[type, List[Tuple[str, Check]]] = {}


def build(record: Any, plain: Any, names: Optional[Dict[str, Any]] = None) -> Any:
    """Build a NamedTuple, and the records it is made of, from a dict.

    ``names`` are those in its annotations that its module imports for the type checker only.
    """
    if not isinstance(plain, dict):
        raise TypeError("%s is no object" % record.__name__)
    fields = _FIELDS.get(record)
    if fields is None:
        hints = typing.get_type_hints(record, localns=names)
        fields = _FIELDS[record] = [(name, _checker(hints[name])) for name in record._fields]
    return record(**{name: check(plain[name]) for name, check in fields if name in plain})


def _checker(hint: Any) -> Check:
    """Return what turns a plain value into one of the annotated type."""
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if hasattr(hint, "_fields"):
        return lambda value: build(hint, value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint
    # Python 3.6 has ``List`` for the origin of ``List[int]``, and the type itself beside it.
    origin: Any = getattr(hint, "__extra__", None) or getattr(hint, "__origin__", None)
    arguments: Tuple[Any, ...] = getattr(hint, "__args__", ())
    others = [argument for argument in arguments if argument is not type(None)]
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](arguments)
    if len(others) == 1 and len(arguments) == 2:  # Optional
        inner = _checker(others[0])
        return lambda value: None if value is None else inner(value)
    raise TypeError("no checker for %r" % (hint,))


def _list_checker(arguments: Tuple[Any, ...]) -> Check:
    item = _checker(arguments[0])
    return lambda value: [item(one) for one in _list(value)]


def _dict_checker(arguments: Tuple[Any, ...]) -> Check:
    item = _checker(arguments[1])
    return lambda value: {_str(key): item(one) for key, one in _dict(value).items()}


def _tuple_checker(arguments: Tuple[Any, ...]) -> Check:
    item = _checker(arguments[0])
    if arguments[1:] == (...,):
        return lambda value: tuple(item(one) for one in _list(value))

    def check(value: Any) -> Any:
        if len(_list(value)) != len(arguments):
            raise TypeError("not %d values" % len(arguments))
        return tuple(item(one) for one in value)

    return check


def _float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("%r is no number" % (value,))
    if not math.isfinite(value):
        raise ValueError("%r is no number" % (value,))
    return value


def _int(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("%r is no whole number" % (value,))
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
