"""`hpcwatch config`: the settings in force and where each value comes from, as TOML."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

from hpcwatch.base import config_files
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cli.arguments import Parser
from hpcwatch.config.schema import KEYS, Key, Scalar
from hpcwatch.config.values import Values, collect

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def main(arguments: list[str]) -> int:
    """Print the configuration; the output is itself a valid configuration file.

    Returns 0, or 2 if a value is wrong; a line then says which.
    """
    parser = Parser(
        prog="hpcwatch config",
        description="Print the settings in force and where each value comes from, as TOML.",
    )
    parser.parse_args(arguments)
    wrong: list[HpcwatchError] = []
    for line in _lines(collect(wrong=wrong)):
        print(line)
    for error in wrong:
        complain(f"hpcwatch: {clean(str(error))}")
    return EXIT_USAGE if wrong else 0


def _lines(values: Values) -> Iterator[str]:
    yield "# Variables override the user's file, and it overrides the site's."
    for owner, path in (("user", config_files.user_file()), ("site", config_files.SITE_FILE)):
        yield f"# {owner}: {clean(path)}{'' if os.path.exists(path) else ' (not there)'}"
    table = ""
    for key in KEYS:
        if key.path[0] != table:
            table = key.path[0]
            yield f"\n[{table}]"
        yield f"# {key.what}"
        yield _line(values, key.path) if key.path in values else _unset(key)
    yield from _others(values)


def _unset(key: Key) -> str:
    return f"# {key.path[-1]} is not set"  # TOML has no null


def _others(values: Values) -> Iterator[str]:
    """Yield the tables that users name: queues and rules."""
    known = {key.path for key in KEYS}
    table: tuple[str, ...] = ()
    for path in sorted(path for path in values if path not in known):
        if path[:-1] != table:
            table = path[:-1]
            yield f"\n[{'.'.join(_name(name) for name in table)}]"
        yield _line(values, path)


def _line(values: Values, path: tuple[str, ...]) -> str:
    value, origin = values[path]
    return f"{f'{_name(path[-1])} = {_text(value)}':32}  # {clean(origin)}"


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else clean(json.dumps(name, ensure_ascii=False))


def _text(value: Scalar) -> str:
    # JSON's strings and finite numbers are valid TOML.
    return clean(json.dumps(value, ensure_ascii=False))
