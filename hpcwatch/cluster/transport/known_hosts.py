"""known_hosts files: the keys that a host may show.

Format: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT", and OpenSSH's hostfile.c.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

DEFAULT_PORT = 22


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Only * and ? are special: brackets are letters, unlike in a shell.
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name matches a list: a pattern matches, and none that begins with "!"."""
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if _compiled(pattern[1:]).match(name):
                return False
        elif _compiled(pattern).match(name):
            found = True
    return found


class Marker(str, Enum):
    """The kind of a line."""

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
        """Return whether the line is about a name (in lower case)."""
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
    """Return a name as ``HashKnownHosts yes`` writes it."""
    salt = os.urandom(20)
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as ssh shows it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def looked_up_name(hostname: str, port: int, alias: str | None) -> str:
    """Return the name of a host in known_hosts."""
    if alias is not None:
        return alias.lower()
    name = hostname.lower()
    return name if port == DEFAULT_PORT else f"[{name}]:{port}"


class Known(NamedTuple):
    """The lines of the files for one host."""

    entries: tuple[Entry, ...]

    def revoked(self, blobs: Iterable[bytes]) -> Entry | None:
        """Return the line that revokes one of these keys."""
        wanted = set(blobs)
        return next((e for e in self._of(Marker.REVOKED) if e.blob in wanted), None)

    def same(self, blob: bytes) -> Entry | None:
        """Return the line with this key."""
        return next((entry for entry in self._of(Marker.KEY) if entry.blob == blob), None)

    def other(self, blob: bytes, key_type: str) -> Entry | None:
        """Return a line that has another key for the host, of the same type if there is one."""
        others = [entry for entry in self._of(Marker.KEY) if entry.blob != blob]
        return min(others, key=lambda entry: entry.key_type != key_type, default=None)

    def authorities(self) -> list[bytes]:
        """Return the keys that may sign certificates of the host."""
        return [entry.blob for entry in self._of(Marker.AUTHORITY)]

    def key_types(self) -> list[str]:
        """Return the types of the keys that the host may show."""
        return [entry.key_type for entry in self._of(Marker.KEY)]

    def verdict(self, blob: bytes, key_type: str, authority: bytes = b"") -> Verdict:
        """Judge a plain key; ``authority`` signed the certificate that came with it, if any."""
        if self.revoked((blob, authority)) is not None:
            return Verdict.REVOKED
        if self.same(blob) is not None:
            return Verdict.KNOWN
        is_changed = self.other(blob, key_type) is not None
        return Verdict.CHANGED if is_changed else Verdict.UNKNOWN

    def _of(self, marker: Marker) -> Iterable[Entry]:
        return (entry for entry in self.entries if entry.marker is marker)


class Verdict(Enum):
    """The verdict of the files on a key that a host shows."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    """They have another key for the host."""
    REVOKED = "revoked"


_Stamp = tuple[int, int, int, int]


class KnownHosts:
    """known_hosts files, read again when they change. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, tuple[_Stamp, tuple[Entry, ...]]] = {}

    def known(self, name: str, paths: Sequence[str]) -> Known:
        """Return the lines for a name that ``looked_up_name`` made, in the order of the files."""
        entries = (entry for path in paths for entry in self._entries(path))
        return Known(tuple(entry for entry in entries if entry.is_for(name)))

    def _entries(self, path: str) -> tuple[Entry, ...]:
        # A key that was added or accepted meanwhile counts: by us, by ssh, by the user.
        stamp = _stamp(path)
        with self._lock:
            known = self._files.get(path)
            if known is None or known[0] != stamp:
                known = self._files[path] = stamp, _read(path)
            return known[1]


def _stamp(path: str) -> _Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0, 0, 0
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: str) -> tuple[Entry, ...]:
    """Return a file's entries; none if it is missing or cannot be read."""
    if not os.path.isfile(path):  # a pipe would not end
        return ()
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return ()
    entries = (_entry(line.split(), path, number) for number, line in enumerate(lines, 1))
    return tuple(entry for entry in entries if entry is not None)


def _entry(words: list[str], path: str, number: int) -> Entry | None:
    """Return a line's entry; None for a comment and for a line that ssh ignores too."""
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
    """Append a new host's key, as ``StrictHostKeyChecking accept-new`` does.

    A file that cannot be written is ignored, as by ssh.
    """
    line = f"{hashed(name) if is_hashed else name} {key_type} {base64.b64encode(blob).decode()}\n"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "ab", closefd=True) as file:
            file.write(line.encode())
    except OSError:
        return
