"""The configuration files: where they are, what they contain, and in which line."""

from __future__ import annotations

import os
import sys

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SITE_FILE = "/etc/hpcwatch/config.toml"

_MOST_BYTES = 1 << 20
_HEADER = r"\s*\[\[?\s*(.*?)\s*\]\]?\s*(?:#.*)?"
_KEY = r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
_WORD = r"""[\w-]+|"[^"]*"|'[^']*'"""


class Document:
    """A file that was read."""

    def __init__(self, path: str, text: str, plain: dict[str, Any]) -> None:
        self.path = path
        self.text = text
        self.plain = plain

    def where(self, name: tuple[str, ...]) -> str:
        """Return the file, with the line of a key or a table if that is known."""
        line = line_of(self.text, name)
        return self.path if line is None else f"{self.path}, line {line}"


def user_file() -> str:
    """Return the path of the user's configuration."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join("~", ".config")
    return os.path.join(os.path.expanduser(base), "hpcwatch", "config.toml")


def paths() -> list[str]:
    """Return the files that exist: the site's, then the user's, which overrides it."""
    return [path for path in (SITE_FILE, user_file()) if os.path.exists(path)]


def read(path: str) -> Document:
    """Read a file. Raises HpcwatchError."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    from hpcwatch.base import reading

    try:
        data = reading.data(path, _MOST_BYTES)
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        return Document(path, text, tomllib.loads(text))
    except OSError as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error), EXIT_USAGE) from None
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        message = f"{path}, line {number}: cannot read byte {data[error.start]:#x}"
        raise HpcwatchError(message, "write it in UTF-8", EXIT_USAGE) from None
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: a number too long
        raise HpcwatchError(f"{path} is not TOML", str(error), EXIT_USAGE) from None


def line_of(text: str, name: tuple[str, ...]) -> int | None:
    """Return the number of the first line that sets a key, or a key of a table."""
    import re

    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header, key = re.fullmatch(_HEADER, line), re.match(_KEY, line)
        if header is not None:
            found = table = _words(header[1])
        elif key is not None:
            found = table + _words(key[1])
        else:
            continue
        if found[: len(name)] == name:
            return number
    return None


def _words(dotted: str) -> tuple[str, ...]:
    import re

    return tuple(word.strip("\"'") for word in re.findall(_WORD, dotted))


def storage_root() -> str | None:
    """Return the folder that the files name for recordings; None if they name none."""
    for root in _values("storage", "root"):
        if isinstance(root, str) and root and "\0" not in root:
            return os.path.expandvars(root)
    return None


def has_masks() -> bool:
    """Tell whether secrets are masked in what is written: HPCWATCH_PRIVACY_MASK, else the files."""
    told = os.environ.get("HPCWATCH_PRIVACY_MASK", "").lower()
    if told in FLAGS:
        return FLAGS[told]
    return next((mask for mask in _values("privacy", "mask") if isinstance(mask, bool)), True)


FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
"""The words for true and false in a variable."""


def _values(table: str, name: str) -> Iterator[object]:
    """Yield a key's values, the one in force first.

    A file that cannot be read has none: the reader of the whole file reports that.
    """
    for path in reversed(paths()):
        try:
            found = read(path).plain.get(table)
        except HpcwatchError:
            continue
        if isinstance(found, dict) and name in found:
            yield found[name]
