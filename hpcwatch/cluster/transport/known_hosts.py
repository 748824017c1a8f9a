"""known_hosts files: which keys a host may show.

Format and verdicts after sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT", and OpenSSH's hostfile.c.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from hpcwatch.cluster.transport.ssh_match import matches

DEFAULT_PORT = 22


class Marker(str, Enum):
    """What a line is for."""

    KEY = ""
    AUTHORITY = "@cert-authority"
    REVOKED = "@revoked"


class Entry(NamedTuple):
    """A line of a known_hosts file."""

    marker: Marker
    names: str
    """Patterns with commas between, or one hashed name."""
    key_type: str
    blob: bytes
    path: str
    number: int

    def is_for(self, name: str) -> bool:
        """Tell whether the line speaks of a name (in lower case)."""
        if self.names.startswith("|"):
            return _is_hash_of(self.names, name)
        return matches(name, self.names.lower().split(","))


def _is_hash_of(hashed: str, name: str) -> bool:
    parts = hashed.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except binascii.Error:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def hashed(name: str) -> str:
    """Return a name the way ``HashKnownHosts yes`` writes it."""
    salt = os.urandom(20)
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as ssh shows it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def looked_up_name(hostname: str, port: int, alias: str | None) -> str:
    """Return the name under which a host stands in known_hosts."""
    if alias is not None:
        return alias.lower()
    name = hostname.lower()
    return name if port == DEFAULT_PORT else f"[{name}]:{port}"


class Known(NamedTuple):
    """What the files say of one host."""

    entries: tuple[Entry, ...]

    def revoked(self, blobs: Iterable[bytes]) -> Entry | None:
        """Return the line that revokes one of these keys."""
        wanted = set(blobs)
        return next((e for e in self._of(Marker.REVOKED) if e.blob in wanted), None)

    def same(self, blob: bytes) -> Entry | None:
        """Return the line that has this key."""
        return next((entry for entry in self._of(Marker.KEY) if entry.blob == blob), None)

    def other(self, blob: bytes, key_type: str) -> Entry | None:
        """Return a line that has another key for the host, one of the same type if there is."""
        others = [entry for entry in self._of(Marker.KEY) if entry.blob != blob]
        return min(others, key=lambda entry: entry.key_type != key_type, default=None)

    def authorities(self) -> list[bytes]:
        """Return the keys that may sign certificates of the host."""
        return [entry.blob for entry in self._of(Marker.AUTHORITY)]

    def key_types(self) -> list[str]:
        """Return the types of the keys that the host may show."""
        return [entry.key_type for entry in self._of(Marker.KEY)]

    def _of(self, marker: Marker) -> Iterable[Entry]:
        return (entry for entry in self.entries if entry.marker is marker)


class KnownHosts:
    """Files in the order in which they are looked through; missing ones count as empty."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._entries = [entry for path in paths for entry in _read(path)]

    def known(self, name: str) -> Known:
        """Return the lines for a name that ``looked_up_name`` made."""
        return Known(tuple(entry for entry in self._entries if entry.is_for(name)))


def _read(path: str) -> list[Entry]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return []
    entries = (_entry(line.split(), path, number) for number, line in enumerate(lines, 1))
    return [entry for entry in entries if entry is not None]


def _entry(words: list[str], path: str, number: int) -> Entry | None:
    """Return a line's entry; None for comments and what is no entry, as ssh does."""
    marker = Marker.KEY
    if words and words[0] in (Marker.AUTHORITY.value, Marker.REVOKED.value):
        marker = Marker(words.pop(0))
    if len(words) < 3 or words[0].startswith(("#", "@")):
        return None
    try:
        blob = base64.b64decode(words[2], validate=True)
    except binascii.Error:
        return None
    return Entry(marker, words[0], words[1], blob, path, number)


def add(path: str, name: str, key_type: str, blob: bytes, is_hashed: bool) -> None:
    """Write down a new host's key, as ``StrictHostKeyChecking accept-new`` asks for.

    A file that cannot be written is no reason not to connect: ssh goes on too.
    """
    line = f"{hashed(name) if is_hashed else name} {key_type} {base64.b64encode(blob).decode()}\n"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "ab", closefd=True) as file:
            file.write(line.encode())
    except OSError:
        return
