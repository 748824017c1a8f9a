"""Follows the way to a host through jump hosts, before anything is started.

A circle of jump hosts makes the ssh program start itself without end.
"""

from __future__ import annotations

import getopt
import os
import re
import shlex

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.ssh_answer import Answer, Answers, Subject

_MOST_HOPS = 16
_HOP = re.compile(r"(?:ssh://)?(?:([^@]+)@)?(\[[^\]]+\]|[^:]+)(?::(\d+))?/?")
_SSH_FLAGS = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:"


def last_hop(answer: Answer) -> Subject:
    """Return the last of a host's jump hosts: those before it lead to that one.

    Raises ConnectError if it is malformed.
    """
    *before, last = answer.jumps
    return _subject(answer.subject.name, last, tuple(before))


def _subject(name: str, hop: str, before: tuple[str, ...]) -> Subject:
    match = _HOP.fullmatch(hop)
    if match is None:
        message = f"{name}: jump host {hop[:80]!r} is not [user@]host[:port]"
        raise ConnectError(Trouble.UNREACHABLE, message)
    return Subject(match[2].strip("[]"), match[1] or "", match[3] or "", before)


def require_end(answers: Answers, subject: Subject) -> None:
    """Raise ConnectError if the way to a host is a circle or endless."""
    seen = [subject]
    while True:
        after = _next(answers.ask(seen[-1]))
        if after is None:
            return
        seen.append(after)
        names = ", ".join(one.name for one in seen)
        if after in seen[:-1]:
            raise ConnectError(Trouble.UNREACHABLE, f"jump hosts go in a circle: {names}")
        if len(seen) > _MOST_HOPS:
            message = f"more than {_MOST_HOPS} jump hosts in a row: {names[:200]}"
            raise ConnectError(Trouble.UNREACHABLE, message)


def _next(answer: Answer) -> Subject | None:
    """Return the host to which ssh connects first; None if it connects directly."""
    if answer.jumps:
        return last_hop(answer)
    return _asked_by(answer.given("proxycommand"), answer.subject.name)


def _asked_by(command: str, name: str) -> Subject | None:
    """Return the host of a ProxyCommand that is ssh itself; None of any other command."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:1] == ["exec"]:
        del words[0]
    if not words or os.path.basename(words[0]) != "ssh":
        return None
    try:
        flags, rest = getopt.getopt(words[1:], _SSH_FLAGS)
    except getopt.GetoptError:
        return None
    if not rest or "%" in rest[0]:
        return None
    given = dict(flags)
    subject = _subject(name, rest[0], tuple(filter(None, given.get("-J", "").split(","))))
    user, port = given.get("-l", ""), given.get("-p", "")
    if "-F" in given or "%" in user + port:  # another configuration: not ours to follow
        return None
    return subject._replace(user=user or subject.user, port=port or subject.port)
