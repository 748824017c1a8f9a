"""A message, and the JSON that a command or a webhook receives. Pure."""

from __future__ import annotations

import json
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.base.units import iso

MOST_BYTES = 4096
"""A pipe takes a line of this length as a whole or not at all (PIPE_BUF)."""
VERSION = 1
_MOST_TEXT, _MOST_WORD, _MOST_RULES = 2000, 60, 10


class Subject(NamedTuple):
    """The run or the job that messages are about."""

    name: str
    user: str
    host: str
    job_id: str | None = None
    scheduler: str | None = None
    run_id: str | None = None
    array_id: str | None = None

    @property
    def words(self) -> str:
        """Return ``train.py, job 305669 on n1``."""
        job = f", job {self.job_id}" if self.job_id and self.job_id != self.name else ""
        return f"{_word(self.name)}{_word(job)}" + (f" on {_word(self.host)}" if self.host else "")


class Message(NamedTuple):
    """One message."""

    kind: str
    """``start``, ``finding``, ``kill``, ``cancel``, ``end``, ``digest`` or ``test``."""
    text: str
    """The whole message in words."""
    at_s: float
    severity: str = "info"
    rules: tuple[str, ...] = ()
    """The rules of its findings."""
    messages_count: int = 1
    """The number of messages of an array's tasks that it combines."""


def line(message: Message, about: Subject) -> bytes:
    """Return a message as a line of JSON. A long text is cut to keep it within ``MOST_BYTES``.

    Slack, Mattermost and others show the value of the key ``text``.
    """
    text, rules = clean_lines(message.text)[:_MOST_TEXT], message.rules[:_MOST_RULES]
    while True:
        plain = {
            "text": text,
            "version": VERSION,
            "kind": message.kind,
            "severity": message.severity,
            "rules": list(rules),
            "at": iso(message.at_s),
            "name": _word(about.name),
            "user": _word(about.user),
            "host": _word(about.host),
            "job": about.job_id and _word(about.job_id),
            "scheduler": about.scheduler and _word(about.scheduler),
            "run": about.run_id and _word(about.run_id),
            "count": message.messages_count,
        }
        made = json.dumps(plain).encode() + b"\n"
        if len(made) <= MOST_BYTES or not text:
            return made
        text = text[: len(text) * 3 // 4]


def clean_lines(text: str) -> str:
    """Return the text with its lines kept and all other control characters escaped."""
    return "\n".join(clean(one) for one in text.split("\n"))


def _word(text: str) -> str:
    return clean(text)[:_MOST_WORD]
