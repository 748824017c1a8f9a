"""Sends a message as mail, with the local sendmail or over SMTP."""

from __future__ import annotations

import os
import shutil
import smtplib
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Any

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.monitor.notify import command

_SENDMAIL = ("/usr/sbin/sendmail", "/usr/lib/sendmail")
_LONGEST_SUBJECT = 120
_SHOWN = ("kind", "name", "job", "host", "user", "run", "rules", "at")


def mail(plain: dict[str, Any], to: Sequence[str], sender: str | None) -> EmailMessage:
    """Return a message as mail. Line breaks are escaped, so that no text can add a header."""
    text = str(plain["text"])
    made = EmailMessage(policy=SMTP)
    subject = clean(text.partition("\n")[0])
    if len(subject) > _LONGEST_SUBJECT:
        subject = subject[: _LONGEST_SUBJECT - 1] + "…"
    made["Subject"] = f"[hpcwatch] {subject}"
    made["To"] = ", ".join(to)
    if sender is not None:
        made["From"] = sender
    made["Date"] = formatdate(localtime=True)
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: prevents automatic replies
    rows = [f"{name}: {_shown(plain[name])}" for name in _SHOWN if plain.get(name)]
    made.set_content("\n".join([text, "", *rows]) + "\n")
    return made


def _shown(value: object) -> str:
    return clean(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def by_sendmail(made: EmailMessage, to: Sequence[str], deadline_s: float) -> None:
    """Hand a mail to the local sendmail. Raises HpcwatchError."""
    program = shutil.which("sendmail") or next(filter(os.path.exists, _SENDMAIL), None)
    if program is None:
        hint = 'name a mail server: [notify] smtp = "HOST"'
        raise HpcwatchError("there is no sendmail on this node", hint)
    # -i: a line of a single dot does not end the mail. No address can be read as an option.
    text = made.as_bytes(policy=made.policy.clone(linesep="\n"))
    command.run([program, "-i", *to], text, deadline_s)


def by_smtp(made: EmailMessage, to: Sequence[str], server: str, deadline_s: float) -> None:
    """Hand a mail to a server, over TLS where it offers that. Raises HpcwatchError."""
    host, _, port = server.rpartition(":") if _has_port(server) else (server, "", "25")
    sender = made["From"] or to[0]
    try:
        with smtplib.SMTP(host.strip("[]"), int(port), timeout=deadline_s) as session:
            session.ehlo_or_helo_if_needed()
            if session.has_extn("starttls"):
                session.starttls()
            session.send_message(made, str(sender), list(to))
    except (OSError, ValueError) as error:  # errors of smtplib are OSErrors
        raise HpcwatchError(f"mail server {clean(host)}", clean(os_reason(error))[:200]) from None


def _has_port(server: str) -> bool:
    return server.count(":") == 1 or "]:" in server
