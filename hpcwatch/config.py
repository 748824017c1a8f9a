"""The configuration: a site's and a user's TOML, each optional, the user's over the site's."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from hpcwatch.errors import EXIT_USAGE, HpcwatchError, os_reason

SITE_FILE = "/etc/hpcwatch/config.toml"


class Settings(NamedTuple):
    """What is in force. Thresholds: rule -> keyword -> value."""

    interval_s: float = 1.0
    budget_bytes: int = 32 << 20
    thresholds: Mapping[str, Mapping[str, float]] = MappingProxyType({})


def user_file() -> str:
    """Return where the user's configuration is looked for."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join("~", ".config")
    return os.path.join(os.path.expanduser(base), "hpcwatch", "config.toml")


def load() -> Settings:
    """Read both files. Raises HpcwatchError naming the file and the key that is wrong."""
    settings = Settings()
    for path in (SITE_FILE, user_file()):
        if os.path.exists(path):
            settings = _merged(settings, _read(path), path)
    return settings


def _read(path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with open(path, encoding="utf-8") as stream:
            return tomllib.loads(stream.read())
    except (OSError, UnicodeDecodeError) as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error), EXIT_USAGE) from None
    except tomllib.TOMLDecodeError as error:
        raise HpcwatchError(f"{path} is no TOML", str(error), EXIT_USAGE) from None


def _merged(settings: Settings, plain: dict[str, Any], path: str) -> Settings:
    _check_names(plain, ("run", "storage", "findings"), "", path)
    run = _table(plain, "run", ("interval_s",), path)
    storage = _table(plain, "storage", ("budget_mb",), path)
    interval_s = _number(run, "interval_s", 0.05, 3600, path)
    budget_mb = _number(storage, "budget_mb", 1, 1e6, path)
    return Settings(
        interval_s=settings.interval_s if interval_s is None else interval_s,
        budget_bytes=settings.budget_bytes if budget_mb is None else int(budget_mb * 2**20),
        thresholds=_added(settings.thresholds, _thresholds(plain.get("findings", {}), path)),
    )


def _added(
    before: Mapping[str, Mapping[str, float]], more: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Return both, rule by rule, the later one over the earlier."""
    return {name: {**before.get(name, {}), **more.get(name, {})} for name in {**before, **more}}


def _thresholds(plain: Any, path: str) -> dict[str, dict[str, float]]:
    """Check ``[findings.RULE]`` tables against the rules and their keyword defaults."""
    if not isinstance(plain, dict):
        raise HpcwatchError(f"{path}: findings is no table", "write [findings.RULE]", EXIT_USAGE)
    if not plain:
        return {}
    from inspect import signature

    from hpcwatch.findings import rules

    known = rules()
    _check_names(plain, known, "findings.", path)
    for name in plain:
        keywords = [
            parameter.name
            for parameter in signature(known[name].function).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        ]
        table = _table(plain, name, keywords, path, "findings.")
        for key in table:
            _number(table, key, -1e18, 1e18, path)
    return dict(plain)


def _table(
    plain: dict[str, Any], name: str, keys: Any, path: str, prefix: str = ""
) -> dict[str, Any]:
    table = plain.get(name, {})
    if not isinstance(table, dict):
        raise HpcwatchError(f"{path}: {prefix}{name} is no table", f"write [{prefix}{name}]", 2)
    _check_names(table, keys, f"{prefix}{name}.", path)
    return table


def _check_names(table: Any, known: Any, prefix: str, path: str) -> None:
    for name in table if isinstance(table, dict) else ():
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, list(known), 1) or sorted(known)
            hint = f"did you mean {prefix}{near[0]}?"
            raise HpcwatchError(f"{path}: no key {prefix}{name}", hint, EXIT_USAGE)


def _number(table: dict[str, Any], key: str, least: float, most: float, path: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        hint = f"give a number between {least:g} and {most:g}"
        raise HpcwatchError(f"{path}: {key} = {value!r}", hint, EXIT_USAGE)
    return float(value)
