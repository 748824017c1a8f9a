"""Attributes of PBS's jobs: `qstat -f` as text, JSON and XML, read into one form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from hpcwatch.base.units import parse_bytes, parse_clock
from hpcwatch.cluster.schedulers.query import Answer, not_understood
from hpcwatch.cluster.schedulers.text import count, when

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_JOBS = 100_000
"""The largest number of records. A longer answer is broken, or meant to fill our memory."""
_LONGEST = 40  # no quantity has more characters; Python refuses to read very long numbers


_LONGEST_WORD, _MOST_WORDS = 10_000, 100  # a select of many named hosts is long


class Attributes:
    """Typed readers of one object's attributes. A value that is absent or malformed is None."""

    __slots__ = ("_values", "id")

    def __init__(self, name: str, values: Mapping[str, str]) -> None:
        self.id = name
        self._values = values

    def text(self, *names: str) -> str | None:
        """Return the first of these attributes that is present and not empty."""
        for name in names:
            value = self._values.get(name)
            if value and (value := value.strip()):
                return value
        return None

    def below(self, prefix: str) -> tuple[str, ...]:
        """Return the attributes with this prefix, as ``name=value`` without it, in order."""
        start = len(prefix)
        found = (
            f"{name[start:]}={value.strip()}"
            for name, value in self._values.items()
            if name.startswith(prefix) and len(value) < _LONGEST_WORD
        )
        return tuple(islice(sorted(found), _MOST_WORDS))

    def bytes(self, name: str) -> int | None:
        """Read a quantity of memory."""
        value = self._values.get(name)
        return parse_bytes(value) if value and len(value) < _LONGEST else None

    def clock(self, name: str) -> int | None:
        """Read a duration in seconds."""
        value = self._values.get(name)
        return parse_clock(value) if value and len(value) < _LONGEST else None

    def when(self, *names: str) -> float | None:
        """Read the first of these times that is present, in seconds since the epoch."""
        return when(self.text(*names))

    def count(self, name: str) -> int | None:
        """Read a whole number that is not negative."""
        return count(self._values.get(name, "").strip())

    def whole(self, name: str) -> int | None:
        """Read a whole number with its sign."""
        value = (self.text(name) or "").strip()
        number = count(value.removeprefix("-"))
        return -number if number is not None and value.startswith("-") else number

    def number(self, name: str) -> float | None:
        """Read a number that is not negative."""
        value = self.text(name) or ""
        return float(value) if re.fullmatch(r"\d{1,15}(\.\d{1,15})?", value, re.ASCII) else None


_WRAPPED = re.compile(r"\n(?:\t| {8,})")
# Torque's newline inside a value: an odd number of backslashes before it.
_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\\n")
_RECORD = re.compile(r"^Job Id:[ \t]*", re.MULTILINE)
# A name and its value; a line that begins no other attribute continues the value.
_PAIR = r"^{0}([A-Za-z_][\w.]*) = (.*(?:\n(?!{0}[A-Za-z_][\w.]* = ).+)*)"
_PAIRS = re.compile(_PAIR.format(" " * 4), re.ASCII | re.MULTILINE)
_WRAPPER_PAIRS = re.compile(_PAIR.format("\t"), re.ASCII | re.MULTILINE)
_NEWLINE = "\ufdd0"  # a code point that is not a character replaces a newline within a value


def from_text(answer: Answer) -> Iterator[Attributes]:
    """Read the text of `qstat -f`. Raises NotUnderstoodError if it is something else.

    It yields one record at a time: the attributes of a full queue together would slow down Python's
    garbage collector.
    """
    text = answer.text
    if text.count("Job Id:") > MOST_JOBS:  # before each of them takes memory
        raise not_understood("qstat -f", answer, f"more than {MOST_JOBS:,} jobs")
    before, *records = _RECORD.split(text)
    if before.strip():
        raise not_understood("qstat -f", answer)
    # Slurm's wrapper indents with a tab, which continues a long value in the others' output.
    is_wrapper = text.startswith("Job Id:\t")
    return (_record(record, is_wrapper) for record in records)


def _record(text: str, is_wrapper: bool) -> Attributes:
    if "\\\n" in text:
        text = _ESCAPED.sub(rf"\1{_NEWLINE}", text)
    if not is_wrapper:
        text = _WRAPPED.sub("", text)
    first, _, rest = text.partition("\n")
    pairs = (_WRAPPER_PAIRS if is_wrapper else _PAIRS).findall(rest)
    # The first of a name counts: newlines in a variable may add another one.
    values: dict[str, str] = dict(reversed(pairs))
    if _NEWLINE in text:
        values = {name: value.replace(_NEWLINE, "\n") for name, value in values.items()}
    return Attributes(first.strip(), values)


def from_json(answer: Answer, section: str, command: str) -> list[Attributes]:
    """Read a section of PBS's JSON: ``Jobs``. Without the section there are no records.

    Raises NotUnderstoodError if it is not JSON: older versions write names like 007 as bare
    numbers.
    """
    try:
        # Numbers stay text: a job may be named 1e5.
        plain = json.loads(answer.text, parse_int=str, parse_float=str)
        found = plain.get(section, {})
        return [Attributes(name, dict(_flat(values, ""))) for name, values in found.items()]
    except (ValueError, AttributeError, RecursionError):
        raise not_understood(command, answer) from None


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield prefix + name, ",".join(map(str, value))
        elif value is not None:
            yield prefix + name, str(value)


_SURROGATE = re.compile("[\udc80-\udcff]")
_PRIVATE = {0xDC80 + n: 0xE080 + n for n in range(0x80)}
_FROM_PRIVATE = {private: surrogate for surrogate, private in _PRIVATE.items()}


def from_xml(answer: Answer, tag: str, id_tag: str, command: str) -> Iterator[Attributes]:
    """Read Torque's XML: ``qstat -x``, ``pbsnodes -x``. Raises NotUnderstoodError if it is none."""
    from xml.etree import ElementTree as Xml

    text = answer.text
    if not text.strip():
        return iter(())
    is_odd = _SURROGATE.search(text) is not None
    if is_odd:  # expat accepts no surrogates: other code points replace bytes that are not UTF-8
        text = text.translate(_PRIVATE)
    if "<!" in text[:2000]:  # entities: no scheduler uses them
        raise not_understood(command, answer)
    try:
        root = Xml.fromstring(text)  # noqa: S314
    except (Xml.ParseError, ValueError):
        raise not_understood(command, answer) from None
    return _elements(root.iter(tag), id_tag, is_odd)


def _elements(items: Iterator[Element], id_tag: str, is_odd: bool) -> Iterator[Attributes]:
    for item in items:
        values: dict[str, str] = {}
        for child in item:
            if len(child):
                for part in child:
                    values[f"{child.tag}.{part.tag}"] = part.text or ""
            else:
                values[child.tag] = child.text or ""
        if is_odd:
            values = {name: value.translate(_FROM_PRIVATE) for name, value in values.items()}
        item.clear()
        yield Attributes(values.get(id_tag, "").strip(), values)
