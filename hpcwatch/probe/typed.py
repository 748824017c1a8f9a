"""Records and annotations without the import of ``typing``, which takes longer than a reading.

A type checker sees typing's own names here. At run time ``Optional[int]`` is only noted down:
``meaning`` returns typing's type, for the reader of recordings. ``NamedTuple`` makes the same
records as typing's, but compiles a record's constructor only where several are made.

From Python 3.14 on a class body does not hold its annotations: typing's names serve there.
"""

import sys


class Noted:
    """A name of typing, with the content of its brackets."""

    __slots__ = ("inner", "name")

    def __init__(self, name: str, inner: "Any" = None) -> None:
        self.name, self.inner = name, inner

    def __getitem__(self, inner: "Any") -> "Noted":
        return Noted(self.name, inner)

    def __call__(self) -> None:
        """Fail: typing takes only what can be called for the type that a text means."""
        raise TypeError("%r makes nothing" % self)

    def __repr__(self) -> str:
        return self.name if self.inner is None else "%s[%r]" % (self.name, self.inner)


TYPE_CHECKING = False
if TYPE_CHECKING or sys.version_info >= (3, 14):
    from typing import (
        Any,
        Callable,
        Container,
        Dict,
        FrozenSet,
        Iterable,
        Iterator,
        List,
        Mapping,
        NamedTuple,
        Optional,
        Sequence,
        Set,
        TextIO,
        Tuple,
        Union,
    )
else:
    try:
        from _collections import _tuplegetter
    except ImportError:  # before Python 3.8
        from operator import itemgetter

        def _tuplegetter(place, doc):
            return property(itemgetter(place), doc=doc)

    _COMPILED_FROM = 100
    """Compiling a constructor takes as long as making this many records without one."""

    Any = Noted("Any")
    Callable = Noted("Callable")
    Container = Noted("Container")
    Dict = Noted("Dict")
    FrozenSet = Noted("FrozenSet")
    Iterable = Noted("Iterable")
    Iterator = Noted("Iterator")
    List = Noted("List")
    Mapping = Noted("Mapping")
    Optional = Noted("Optional")
    Sequence = Noted("Sequence")
    Set = Noted("Set")
    TextIO = Noted("TextIO")
    Tuple = Noted("Tuple")
    Union = Noted("Union")

    class _Record(tuple):
        """The methods of all records: see ``collections.namedtuple``."""

        __slots__ = ()
        _fields = ()
        _field_defaults = {}

        def __new__(cls, *values, **named):
            made = _filled(cls, values, named)
            count = _made.get(cls, 0) + 1
            if count < _COMPILED_FROM:
                _made[cls] = count
            elif "__new__" not in vars(cls):
                cls.__new__ = _compiled(cls)
            return made

        @classmethod
        def _make(cls, values):
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError("Expected %d arguments, got %d" % (len(cls._fields), len(made)))
            return made

        def _replace(self, **named):
            made = self._make(map(named.pop, self._fields, self))
            if named:
                raise ValueError("Got unexpected field names: %r" % list(named))
            return made

        def _asdict(self):
            return dict(zip(self._fields, self))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            shown = ("%s=%r" % pair for pair in zip(self._fields, self))
            return "%s(%s)" % (type(self).__name__, ", ".join(shown))

    _made = {}
    """Record -> how many were made, until its constructor is compiled."""

    def _filled(cls, values, named):
        """Return a record of values in order and by name. Raises TypeError."""
        fields = cls._fields
        rest = fields[len(values) :]
        if len(values) <= len(fields):
            defaults = cls._field_defaults
            try:
                filled = values + tuple(
                    [named.pop(one) if one in named else defaults[one] for one in rest]
                )
            except KeyError as error:
                raise TypeError("%s() misses %s" % (cls.__name__, error))
            if not named:
                return tuple.__new__(cls, filled)
        raise TypeError("%s() takes the fields %s" % (cls.__name__, ", ".join(fields)))

    def _compiled(cls):
        """Return a constructor as quick as that of ``collections.namedtuple``."""
        defaults = cls._field_defaults
        words = ["%s=_defaults[%r]" % (one, one) if one in defaults else one for one in cls._fields]
        names = ", ".join(cls._fields)
        code = "lambda _cls, %s: _new(_cls, (%s,))" % (", ".join(words), names)
        known = {"_new": tuple.__new__, "_defaults": defaults, "__builtins__": {}}
        return staticmethod(eval(code, known))  # noqa: S307 - a class body's own names

    class _Recorded(type):
        """Makes a record of a class body: its annotated names are the fields."""

        def __new__(cls, name, bases, body):
            if not bases:
                return type.__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {one: body[one] for one in fields if one in body}
            if list(defaults) != list(fields[len(fields) - len(defaults) :]):
                raise TypeError("%s: a field without a default follows one with it" % name)
            body.update((one, _tuplegetter(place, None)) for place, one in enumerate(fields))
            body.update(_fields=fields, _field_defaults=defaults, __slots__=())
            return type(name, (_Record,), body)

    class NamedTuple(metaclass=_Recorded):
        """The base of a record: see ``typing.NamedTuple``."""


def meaning(hint: "Any") -> "Any":
    """Return typing's type for a noted one; return other types unchanged."""
    import typing

    if isinstance(hint, list):
        return [meaning(one) for one in hint]
    if isinstance(hint, Noted):
        named = getattr(typing, hint.name)
        inner = hint.inner
        if inner is None:
            return named
        return named[tuple(map(meaning, inner)) if isinstance(inner, tuple) else meaning(inner)]
    if type(hint).__name__ == "GenericAlias":  # ``list[Optional[int]]``
        return hint.__origin__[tuple(map(meaning, hint.__args__))]
    return hint


__all__ = [
    "TYPE_CHECKING",
    "Any",
    "Callable",
    "Container",
    "Dict",
    "FrozenSet",
    "Iterable",
    "Iterator",
    "List",
    "Mapping",
    "NamedTuple",
    "Optional",
    "Sequence",
    "Set",
    "TextIO",
    "Tuple",
    "Union",
    "meaning",
]
