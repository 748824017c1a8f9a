"""Decides which messages about a watched run or job are sent, and when."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.base.masks import masked
from hpcwatch.base.units import format_clock, format_seconds
from hpcwatch.cluster.schedulers import inside
from hpcwatch.monitor.notify.channel import Channel, Start
from hpcwatch.monitor.notify.digest import Spool
from hpcwatch.monitor.notify.message import Message, Subject
from hpcwatch.monitor.notify.plan import Plan
from hpcwatch.monitor.notify.told import Told
from hpcwatch.recording.masking import is_on

PATIENCE_S = 5.0
"""The most time for which the end of a run waits for the delivery of the last message."""
_GATHER_S = 60.0
"""Findings within this time are sent in one message."""
_MOST_NAMED = 5


class Alerts:
    """Sends messages about one run or job. Only ``close`` waits."""

    def __init__(
        self, plan: Plan, about: Subject, start: Start, spool: Spool | None = None
    ) -> None:
        """Raises OSError if the process that delivers messages cannot be started."""
        self._plan, self._about = plan, about
        self._told = Told(plan.severity, plan.again_s)
        self._gathered: list[Finding] = []
        self._sent_s = -_GATHER_S
        self._is_kill_told = False
        self._channel: Channel | None = Channel(plan.ways, spool, start)

    def started(self) -> None:
        """Report that the program or the job has started."""
        if self._plan.is_start:
            self._send("start", f"{self._about.words} has started")

    def look(self, found: Sequence[Finding]) -> None:
        """Report new findings among the current ones, those of a minute in one message."""
        now_s = time.monotonic()
        self._gathered += self._told.new(found, now_s)
        if self._gathered and now_s - self._sent_s >= _GATHER_S:
            self._sent_s = now_s
            gathered, self._gathered = self._gathered, []
            self._send_findings(gathered)

    def ending(self, signal_name: str) -> None:
        """Report a signal that asks the program to end."""
        if self._plan.is_kill and not self._is_kill_told:
            self._is_kill_told = True
            self._send("kill", f"{self._about.words} got {signal_name} and ends", "warning")

    def idle(self, words: str) -> None:
        """Report that the idle job will be cancelled, or that it will not be after all."""
        self._send("cancel", f"{self._about.words}: {words}", "critical")

    def ended(
        self, how: str, is_bad: bool, is_killed: bool, ran_s: float | None, found: Sequence[Finding]
    ) -> None:
        """Report how the run or job ended, and its findings, the worst first."""
        plan = self._plan
        is_news = is_bad or ran_s is None or ran_s >= plan.end_after_s
        if (is_killed and plan.is_kill) or (plan.is_end and is_news):
            after = f" after {_time(ran_s)}" if ran_s is not None else ""
            text = f"{self._about.words}{how}{after}"
            shown = [one for one in found if one.severity >= Severity.WARNING]
            rules = tuple(one.rule for one in shown)
            worst = max((one.severity for one in shown), default=Severity.INFO)
            severity = max(worst, Severity.CRITICAL if is_bad else Severity.INFO)
            kind = "kill" if is_killed else "end"
            self._send(kind, "\n".join([text, *_lines(shown)]), severity.name.lower(), rules)
        elif self._gathered:
            self._send_findings(self._gathered)

    def close(self) -> list[str]:
        """Deliver the remaining messages within a limited time; return the failures."""
        channel, self._channel = self._channel, None
        return channel.close(PATIENCE_S) if channel is not None else []

    def _send_findings(self, found: Sequence[Finding]) -> None:
        worst_first = sorted(found, key=lambda one: -one.severity)
        worst = worst_first[0]
        if len(found) == 1:
            where = f" ({worst.host})" if worst.host and worst.host != self._about.host else ""
            text = f"{self._about.words}{where}: {worst.title}. {worst.advice}"
        else:
            text = "\n".join([f"{self._about.words}: {len(found)} findings", *_lines(worst_first)])
        rules = tuple(dict.fromkeys(one.rule for one in worst_first))
        self._send("finding", text, worst.severity.name.lower(), rules)

    def _send(
        self, kind: str, text: str, severity: str = "info", rules: tuple[str, ...] = ()
    ) -> None:
        if self._channel is not None:
            shown = masked(text) if is_on() else text
            made = Message(kind, shown, time.time(), severity, rules)
            self._channel.send(made, self._about)


def _lines(found: Sequence[Finding]) -> list[str]:
    lines = [
        f"- {one.severity.name.lower()}: {one.title}" + (f" ({one.host})" if one.host else "")
        for one in found[:_MOST_NAMED]
    ]
    more = len(found) - _MOST_NAMED
    return [*lines, f"- and {more} more"] if more > 0 else lines


def _time(seconds: float) -> str:
    return format_seconds(seconds) if seconds < 60 else format_clock(seconds)


def spool_of(about: Subject, interval_s: float, root: str) -> Spool | None:
    """Return where messages of an array's tasks wait; None for a job that is not of an array.

    ``root`` is the folder of recordings, which the nodes share.
    """
    if about.array_id is None or interval_s <= 0:
        return None
    safe = "".join(letter if letter.isalnum() else "-" for letter in about.array_id)[:60]
    folder = os.path.join(os.path.dirname(root), "notify", f"{about.scheduler}-{safe}")
    is_last = about.scheduler is None or inside(about.scheduler).is_last_task(os.environ)
    return Spool(folder, interval_s, is_last)
