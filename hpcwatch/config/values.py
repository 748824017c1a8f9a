"""What is written in the files and the environment, checked, and where each value is from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
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
"""Path of a key -> its value, of all that have one."""


def collect(environment: Mapping[str, str] | None = None) -> Values:
    """Return what is in force: environment over user over site over defaults.

    Raises HpcwatchError that names the file, the line and the nearest known key.
    """
    values = {key.path: Value(key.default, DEFAULT) for key in KEYS if key.default is not None}
    for path in config_files.paths():
        document = config_files.read(path)
        values.update(_of_document(document))
    values.update(_of_environment(os.environ if environment is None else environment))
    return values


def _of_document(document: Document) -> Iterator[tuple[tuple[str, ...], Value]]:
    known = tree(with_findings=bool(document.plain.get("findings")))
    yield from _of_table(document, document.plain, known, ())


def _of_table(
    document: Document, plain: object, known: Tree, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Value]]:
    if not isinstance(plain, dict):
        name = ".".join(path)
        hint = f"write [{name}.NAME]" if isinstance(known, AnyName) else f"write [{name}]"
        raise HpcwatchError(f"{document.where(path)}: {name} is no table", hint, EXIT_USAGE)
    for name, value in plain.items():
        inner = known.of if isinstance(known, AnyName) else known.get(name)
        if inner is None:
            raise _unknown(document, (*path, name), known)
        if isinstance(inner, Key):
            yield (*path, name), _checked(document, (*path, name), inner, value)
        else:
            yield from _of_table(document, value, inner, (*path, name))


def _unknown(document: Document, path: tuple[str, ...], known: Tree) -> HpcwatchError:
    near = get_close_matches(path[-1], list(known), 1)
    if near:
        hint = f"did you mean {'.'.join((*path[:-1], near[0]))}?"
    else:
        hint = f"it takes {', '.join(sorted(known))}" if known else "it takes no keys"
    return HpcwatchError(f"{document.where(path)}: no key {'.'.join(path)}", hint, EXIT_USAGE)


def _checked(document: Document, path: tuple[str, ...], key: Key, value: object) -> Value:
    where = document.where(path)
    if not key.accepts(value):
        said = repr(value)[:80]
        raise HpcwatchError(f"{where}: {'.'.join(path)} = {said}", key.wanted, EXIT_USAGE)
    assert isinstance(value, (int, float, str))
    return Value(value, where)


def _of_environment(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], Value]]:
    for key in KEYS:
        text = environment.get(key.variable)
        if not text:
            continue
        value: Scalar | None = text if key.is_text else _number(text)
        if value is None or not key.accepts(value):
            hint = key.wanted.replace(" in quotes", "")
            raise HpcwatchError(f"{key.variable}={text[:80]!r}", hint, EXIT_USAGE)
        yield key.path, Value(value, key.variable)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
