"""The messages of ssh, srun and pbs_attach: their last lines, and the errors that they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.cluster.transport import ConnectError, Trouble

MOST_BYTES = 4096
_SSH_FAILED = 255
_NOT_FOUND = 127


class Tail:
    """Keeps the last bytes of a standard error."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes) -> None:
        """Append."""
        self._bytes = (self._bytes + data)[-MOST_BYTES:]

    def text(self) -> str:
        """Return the bytes kept, as text."""
        return self._bytes.decode(errors="replace")

    def last_line(self) -> str:
        """Return the last line that is not blank; empty if there is none."""
        lines = self.text().splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class _Rule(NamedTuple):
    pattern: str
    trouble: Trouble
    words: str
    """For people; ``{host}`` and ``{line}``, the program's own last words, are filled in."""
    hint: str = ""


_SSH = (
    _Rule(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        Trouble.KEY_CHANGED,
        "HOST KEY OF {host} HAS CHANGED; someone may be listening in",
        "ask the administrators; type ssh {host} true to see the old key's place",
    ),
    _Rule("REVOKED HOST KEY", Trouble.KEY_CHANGED, "the host key of {host} is revoked"),
    _Rule(
        "Host key verification failed",
        Trouble.KEY_UNKNOWN,
        "host key of {host} is not known",
        "to look at it and accept it, type: ssh {host} true",
    ),
    _Rule("Permission denied", Trouble.LOGIN, "{host} refuses the login: {line}"),
    _Rule("Too many authentication failures", Trouble.LOGIN, "{host} refuses the login: {line}"),
    _Rule("Timeout, server", Trouble.BROKEN, "connection to {host} lost: no sign of life"),
    _Rule(
        "connect to host .*Connection refused|open failed.*refused",
        Trouble.REFUSED,
        "{host} refuses connections: no ssh server listens there",
    ),
    _Rule("timed out", Trouble.TIMEOUT, "{host} did not answer in time"),
    _Rule(
        "No route to host|Could not resolve|is unreachable|Name or service not known",
        Trouble.UNREACHABLE,
        "{host} cannot be reached: {line}",
    ),
    _Rule(
        "kex_exchange_identification|banner exchange|Connection (closed|reset) by .* port",
        Trouble.REFUSED,
        "{host} ended the connection at once: {line}",
    ),
    _Rule(
        "[Bb]ad configuration option|terminating, .* bad configuration",
        Trouble.PROGRAM,
        "ssh does not understand its configuration: {line}",
    ),
    _Rule("", Trouble.BROKEN, "connection to {host} lost: {line}"),
)

_SRUN = (
    _Rule(
        "unrecognized option.*overlap",
        Trouble.PROGRAM,
        "this srun is older than Slurm 20.11: it cannot share a job's resources (no --overlap)",
    ),
    _Rule("[Uu]nrecognized option|invalid option", Trouble.PROGRAM, "srun: {line}"),
    _Rule(
        "Invalid job id|already completing|has expired|job .*not running",
        Trouble.REFUSED,
        "the job is not running any more: {line}",
    ),
    _Rule("[Pp]ermission denied|Invalid user", Trouble.LOGIN, "srun is refused: {line}"),
    _Rule(
        "not available|Invalid node name|not in .*allocation|not part of",
        Trouble.UNREACHABLE,
        "{host} is not a node of the job: {line}",
    ),
    _Rule("[Uu]nable to contact|Unable to connect", Trouble.UNREACHABLE, "{line}"),
    _Rule("[Nn]ode failure|Timed out waiting|Socket timed out", Trouble.BROKEN, "{host}: {line}"),
    _Rule("[Uu]nable to|launch failed|Job step aborted", Trouble.BROKEN, "{host}: {line}"),
)

_ATTACH = (_Rule("pbs_attach", Trouble.PROGRAM, "pbs_attach cannot be used on {host}: {line}"),)


def none(host: str, code: int, errors: str) -> ConnectError | None:
    """Return None: reaching this node cannot fail."""
    del host, code, errors
    return None


def of_ssh(host: str, code: int, errors: str) -> ConnectError | None:
    """Return the error of ssh; None if the program on the node ended."""
    return _matched(_SSH, host, errors) if code == _SSH_FAILED else None


def of_srun(host: str, code: int, errors: str) -> ConnectError | None:
    """Return the error of srun; None if the program on the node ended."""
    return _matched(_SRUN, host, errors) if code != 0 else None


def of_pbs_attach(host: str, code: int, errors: str) -> ConnectError | None:
    """Return the error of pbs_attach, or of the ssh before it."""
    if code == _NOT_FOUND:
        return _matched(_ATTACH, host, errors)
    return of_ssh(host, code, errors)


def _matched(rules: Sequence[_Rule], host: str, errors: str) -> ConnectError | None:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    for rule in rules:
        if re.search(rule.pattern, errors):
            telling = [line for line in lines if rule.pattern and re.search(rule.pattern, line)]
            line = (telling or lines[-1:] or ["it gave no reason"])[0]
            words = rule.words.format(host=host, line=line)
            return ConnectError(rule.trouble, words, rule.hint.format(host=host))
    return None
