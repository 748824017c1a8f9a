"""Where messages go and what they report: from `[notify]` in the configuration and `--notify`."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.config.schema import KEYS, Scalar

_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+=-]{0,63}(?:@[A-Za-z0-9][A-Za-z0-9.-]{0,253})?")
_SERVER = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.-]{0,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](?::[0-9]{1,5})?"
)
_MOST_ADDRESSES = 10
_FORMS = "give command:PROGRAM, webhook:FILE, mail:ADDRESS or off"


class Ways(NamedTuple):
    """Where messages go. It holds no secrets: URLs and tokens stay in their files."""

    command: tuple[str, ...] = ()
    """A program and its arguments. It gets the message on standard input."""
    webhook_file: str | None = None
    """A file of mode 0600 with the URL."""
    token_file: str | None = None
    """A file of mode 0600 with a bearer token for the webhook."""
    mail: tuple[str, ...] = ()
    mail_from: str | None = None
    smtp: str | None = None
    """``HOST:PORT``; None: the local sendmail."""

    @property
    def is_any(self) -> bool:
        """True if there is at least one way."""
        return bool(self.command or self.webhook_file or self.mail)


class Plan(NamedTuple):
    """Where messages go, and what they report."""

    ways: Ways
    severity: str = "warning"
    """The least severity of findings to report; ``none``: no findings."""
    is_start: bool = False
    is_end: bool = True
    is_kill: bool = True
    end_after_s: float = 60.0
    """The normal end of a run shorter than this is not reported."""
    again_s: float = 3600.0
    """A finding that comes back is reported again after this time at the earliest."""
    digest_s: float = 900.0
    """The tasks of a job array together send one message per this time; 0: each sends its own."""


def plan_of(given: Sequence[str], configured: Mapping[str, Scalar]) -> Plan | None:
    """Return the plan; None if no messages are wanted. Raises HpcwatchError (exit code 2).

    ``given`` has the values of ``--notify``, which replace the configured ways. ``configured`` is
    the table `[notify]` without keys that have their defaults.
    """
    defaults = {key.path[1]: key.default for key in KEYS if key.path[0] == "notify"}
    values: dict[str, Scalar | None] = {**defaults, **configured}
    ways = _given(given, values) if given else _configured(values)
    if not ways.is_any:
        return None
    return Plan(
        ways,
        severity=str(values["severity"]),
        is_start=bool(values["start"]),
        is_end=bool(values["end"]),
        is_kill=bool(values["kill"]),
        end_after_s=float(values["end_after_s"] or 0.0),
        again_s=float(values["again_s"] or 0.0),
        digest_s=float(values["digest_s"] or 0.0),
    )


def check(given: str) -> str:
    """Check a value of ``--notify`` before anything starts, and return it.

    Raises HpcwatchError (exit code 2).
    """
    ways = _given([given], {})
    if ways.command and shutil.which(ways.command[0]) is None:
        hint = "give a program on PATH, or its path"
        raise HpcwatchError(f"--notify: no program {clean(ways.command[0])}", hint, EXIT_USAGE)
    if ways.webhook_file is not None:
        from hpcwatch.monitor.notify.webhook import address_in

        address_in(ways.webhook_file)
    return given


def _configured(values: Mapping[str, Scalar | None]) -> Ways:
    return Ways(
        command=_command(_text(values, "command")),
        webhook_file=_path(_text(values, "webhook_file")),
        token_file=_path(_text(values, "token_file")),
        mail=_addresses(_text(values, "mail")),
        mail_from=next(iter(_addresses(_text(values, "mail_from"))), None),
        smtp=_server(_text(values, "smtp")),
    )


def _given(given: Sequence[str], values: Mapping[str, Scalar | None]) -> Ways:
    found: dict[str, str] = {}
    for text in given:
        kind, mark, what = text.partition(":")
        if text == "off":
            return Ways()
        if what.startswith("//"):
            hint = "put it into a file of mode 0600, and say --notify webhook:FILE"
            raise HpcwatchError(
                "--notify: a webhook's URL is a secret, and everybody on this node can read "
                "command lines",
                hint,
                EXIT_USAGE,
            )
        if kind not in ("command", "webhook", "mail") or not mark or not what.strip():
            raise HpcwatchError(f"--notify cannot be {clean(text)!r}", _FORMS, EXIT_USAGE)
        if kind == "webhook" and "://" in what:
            return _given([what], values)  # raises the error for an unknown way
        found[kind] = what.strip()
    return Ways(
        command=_command(found.get("command")),
        webhook_file=_path(found.get("webhook")),
        token_file=_path(_text(values, "token_file")),
        mail=_addresses(found.get("mail")),
        mail_from=next(iter(_addresses(_text(values, "mail_from"))), None),
        smtp=_server(_text(values, "smtp")),
    )


def _text(values: Mapping[str, Scalar | None], name: str) -> str | None:
    value = values.get(name)
    return str(value) if value else None


def _path(text: str | None) -> str | None:
    return None if text is None else os.path.abspath(os.path.expanduser(text))


def _command(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise HpcwatchError(
            f"notify: cannot split {clean(text)!r}", str(error), EXIT_USAGE
        ) from None
    if not words or not words[0]:
        raise HpcwatchError("notify: the command is empty", "name a program", EXIT_USAGE)
    return (os.path.expanduser(words[0]), *words[1:])


def _addresses(text: str | None) -> tuple[str, ...]:
    words = tuple(word.strip() for word in (text or "").split(",") if word.strip())
    for word in words:
        if not _ADDRESS.fullmatch(word):
            hint = "write name or name@host; several with commas between them"
            raise HpcwatchError(f"notify: {clean(word)!r} is no mail address", hint, EXIT_USAGE)
    if len(words) > _MOST_ADDRESSES:
        hint = f"give {_MOST_ADDRESSES} at most, or a list's address"
        raise HpcwatchError(f"notify: {len(words)} mail addresses", hint, EXIT_USAGE)
    return words


def _server(text: str | None) -> str | None:
    if text is not None and not _SERVER.fullmatch(text):
        hint = "write HOST or HOST:PORT"
        raise HpcwatchError(f"notify: {clean(text)!r} is no mail server", hint, EXIT_USAGE)
    return text
