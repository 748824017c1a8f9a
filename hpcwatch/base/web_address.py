"""Checks of web addresses and of the tokens sent to them, before anything is sent.

An address may be a secret (a webhook's path), so errors show only its host.
"""

from __future__ import annotations

import os
import stat
import urllib.parse

from hpcwatch.base import reading
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason

TOKEN_BYTES = 4096
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_address(url: str) -> str:
    """Return the address unchanged. Raises HpcwatchError if it is not a usable one."""
    origin(url)
    return url


def origin(url: str) -> str:
    """Return scheme, host and port of an address, which are no secret.

    Raises HpcwatchError if it is not an http or https address, or if it holds a password.
    """
    hint = "write http://HOST:PORT or https://HOST"
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise HpcwatchError("this is no web address", hint, EXIT_USAGE) from None
    odd = any(letter <= " " or letter == "\x7f" for letter in url)
    if odd or parts.scheme not in _DEFAULT_PORTS or not host:
        raise HpcwatchError(f"no web address: {clean(url[:40])}", hint, EXIT_USAGE)
    if parts.username is not None or parts.password is not None:
        raise HpcwatchError(
            "a web address must not hold a name or password",
            "put the token into a file of mode 0600: token_file, or --push-token-file",
            EXIT_USAGE,
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port or _DEFAULT_PORTS[parts.scheme]}"


def token_of(path: str, what: str = "token") -> str:
    """Return the token in a file: one word of printable ASCII.

    ``what`` names it in errors. Raises HpcwatchError if the file holds no token, belongs to another
    user, or may be read by others.
    """
    name = clean(path)
    try:
        with reading.opened(os.path.expanduser(path)) as stream:
            status = os.fstat(stream.fileno())
            found = stream.read(TOKEN_BYTES + 1)
    except OSError as error:
        reason = os_reason(error)
        raise HpcwatchError(f"cannot read the {what} in {name}", reason, EXIT_USAGE) from error
    if status.st_uid != os.getuid():
        raise HpcwatchError(f"{name} belongs to somebody else", "use a file of yours", EXIT_USAGE)
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise HpcwatchError(f"others may read {name}", f"chmod 600 {name}", EXIT_USAGE)
    words = found.split()
    if len(words) != 1 or len(found) > TOKEN_BYTES or not _is_printable(words[0]):
        raise HpcwatchError(f"{name} holds no {what}", "one word, nothing else", EXIT_USAGE)
    return words[0].decode("ascii")


def _is_printable(word: bytes) -> bool:
    return all(0x21 <= letter <= 0x7E for letter in word)
