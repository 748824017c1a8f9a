"""Records as JSON, the counterpart of ``decode``: `json` itself takes 5 ms to import, with `re`."""

from .typed import Any, Callable, Dict, Iterable, Tuple

try:
    from _json import encode_basestring_ascii as _quoted
except ImportError:  # another Python than CPython
    from json.encoder import encode_basestring_ascii as _quoted


def to_plain(value: Any) -> Any:
    """Turn records into dicts without the fields that are None, so that lines stay short."""
    kind = type(value)
    if kind is int or kind is str:  # most values of a sample
        return value
    if kind is float:
        return round(value, 6)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {
            name: to_plain(field) for name, field in zip(value._fields, value) if field is not None
        }
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: to_plain(item) for name, item in value.items()}
    return value


def to_text(value: Any, gap: str = "") -> str:
    """Return the JSON, in ASCII, of what ``to_plain`` returns.

    With ``gap``, a line's end, each value has a line of its own, as json's ``indent=1`` writes it.
    Raises TypeError for a value that JSON has no form for.
    """
    simple = _SIMPLE.get(type(value))
    if simple is not None:
        return simple(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _object(zip(value._fields, value), gap, is_short=True)
    if isinstance(value, dict):
        return _object(value.items(), gap, is_short=False)
    if isinstance(value, (list, tuple)):
        inner = gap + " " if gap else ""
        kinds = set(map(type, value))
        simple = _SIMPLE.get(kinds.pop()) if len(kinds) == 1 else None
        texts = list(map(simple, value)) if simple else [to_text(item, inner) for item in value]
        return "[" + inner + ("," + inner).join(texts) + gap + "]" if texts else "[]"
    if isinstance(value, str):  # a member of an enumeration
        return _quoted(value)
    return int.__repr__(value)


def _object(named: Iterable[Tuple[str, Any]], gap: str, is_short: bool) -> str:
    """Return an object; ``is_short`` leaves out what is None."""
    inner, colon = (gap + " ", ": ") if gap else ("", ":")
    texts = []
    for name, value in named:
        if value is None and is_short:
            continue
        simple = _SIMPLE.get(type(value))  # most values: this saves a call of to_text
        text = simple(value) if simple else to_text(value, inner)
        texts.append(_quoted(name) + colon + text)
    return "{" + inner + ("," + inner).join(texts) + gap + "}" if texts else "{}"


def _number(value: float) -> str:
    """Return a number as json writes it, to a microsecond or better."""
    text = repr(round(value, 6))
    return text if text[-1].isdigit() else _NO_NUMBERS[text]


_NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_SIMPLE: Dict[type, Callable[[Any], str]] = {
    str: _quoted,
    int: int.__repr__,
    float: _number,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
}
