"""The values in the files and the environment, checked, and where each comes from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from hpcwatch.base import config_files
from hpcwatch.base.config_files import Document
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.config.schema import KEYS, AnyName, Key, Scalar, Tree, tree

DEFAULT = "default"


class Value(NamedTuple):
    """A value in force."""

    value: Scalar
    origin: str
    """A file and a line, an environment variable, or ``default``."""


Values = dict[tuple[str, ...], Value]
"""Path of a key -> its value, for all keys that have one."""


def collect(
    environment: Mapping[str, str] | None = None, wrong: list[HpcwatchError] | None = None
) -> Values:
    """Return the values in force: environment over user over site over defaults.

    Raises HpcwatchError that names the file, the line and the nearest known key. With ``wrong``
    such errors are appended to it instead, and the wrong values are left out.
    """
    refuse = _raise if wrong is None else wrong.append
    values = {key.path: Value(key.default, DEFAULT) for key in KEYS if key.default is not None}
    for path in config_files.paths():
        try:
            document = config_files.read(path)
        except HpcwatchError as error:
            refuse(error)
            continue
        _override(values, _of_document(document, refuse))
    _override(values, _of_environment(os.environ if environment is None else environment, refuse))
    return values


def _override(values: Values, found: Iterable[tuple[tuple[str, ...], Value]]) -> None:
    """Put in what was found, except where what stands is a ban."""
    for path, value in found:
        known = values.get(path)
        if path not in _BANS or known is None or known.value is not False:
            values[path] = value


_BANS = frozenset(key.path for key in KEYS if key.forbids)
Refuse = Callable[[HpcwatchError], None]


def _raise(error: HpcwatchError) -> None:
    raise error


def _of_document(document: Document, refuse: Refuse) -> Iterator[tuple[tuple[str, ...], Value]]:
    known = tree(with_findings=bool(document.plain.get("findings")))
    yield from _of_table(document, document.plain, known, (), refuse)


def _of_table(
    document: Document, plain: object, known: Tree, path: tuple[str, ...], refuse: Refuse
) -> Iterator[tuple[tuple[str, ...], Value]]:
    if not isinstance(plain, dict):
        name = ".".join(path)
        hint = f"write [{name}.NAME]" if isinstance(known, AnyName) else f"write [{name}]"
        refuse(HpcwatchError(f"{document.where(path)}: {name} is not a table", hint, EXIT_USAGE))
        return
    for name, value in plain.items():
        inner = known.of if isinstance(known, AnyName) else known.get(name)
        if inner is None:
            refuse(_unknown(document, (*path, name), known))
        elif not isinstance(inner, Key):
            yield from _of_table(document, value, inner, (*path, name), refuse)
        elif inner.accepts(value):
            yield (*path, name), Value(value, document.where((*path, name)))
        else:
            refuse(_refusal(document, (*path, name), inner, value))


def _unknown(document: Document, path: tuple[str, ...], known: Tree) -> HpcwatchError:
    from difflib import get_close_matches

    near = get_close_matches(path[-1], list(known), 1)
    if near:
        hint = f"did you mean {'.'.join((*path[:-1], near[0]))}?"
    else:
        hint = f"it takes {', '.join(sorted(known))}" if known else "it takes no keys"
    return HpcwatchError(f"{document.where(path)}: no key {'.'.join(path)}", hint, EXIT_USAGE)


def _refusal(document: Document, path: tuple[str, ...], key: Key, value: object) -> HpcwatchError:
    said = f"{document.where(path)}: {'.'.join(path)} = {repr(value)[:80]}"
    return HpcwatchError(said, key.wanted, EXIT_USAGE)


def _of_environment(
    environment: Mapping[str, str], refuse: Refuse
) -> Iterator[tuple[tuple[str, ...], Value]]:
    for key in KEYS:
        text = environment.get(key.variable)
        if not text:
            continue
        value = _value(key, text)
        if value is None or not key.accepts(value):
            hint = key.wanted.replace(" in quotes", "")
            refuse(HpcwatchError(f"{key.variable}={text[:80]!r}", hint, EXIT_USAGE))
        else:
            yield key.path, Value(value, key.variable)


def _value(key: Key, text: str) -> Scalar | None:
    if key.is_flag:
        return config_files.FLAGS.get(text.lower())
    return text if key.is_text else _number(text)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
