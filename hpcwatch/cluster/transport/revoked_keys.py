"""The file of ``RevokedHostKeys``: keys that no host may show.

As OpenSSH's authfile.c reads it: a public key in each line. Its binary form, a key revocation list,
is left to ssh.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import ConnectError, Trouble

_MOST_BYTES = 64 << 20
_BINARY = b"SSHKRL\n\0"
_HINT = "use --transport ssh-program"


def require_not_revoked(path: str, host: str, blobs: Iterable[bytes]) -> None:
    """Raise ConnectError if the file has one of the keys, or cannot be read: ssh refuses, too."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES)
    except OSError as error:
        message = f"cannot read {path} (RevokedHostKeys): {os_reason(error)}"
        raise ConnectError(Trouble.LOGIN, message, "without it ssh refuses all hosts") from None
    if text.startswith(_BINARY):
        message = f"{path} (RevokedHostKeys) is a binary list; that is not supported"
        raise ConnectError(Trouble.LOGIN, message, _HINT)
    wanted = set(blobs)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith(b"#") and wanted & set(_keys(line)):
            message = f"the host key of {host} is revoked ({path}:{number})"
            raise ConnectError(Trouble.KEY_CHANGED, message, "ask the administrators")


def _keys(line: bytes) -> Iterable[bytes]:
    for word in line.split()[:3]:
        try:
            yield base64.b64decode(word, validate=True)
        except binascii.Error:
            continue
