"""A process that delivers messages, so that a hanging delivery cannot hang the monitor.

It reads its task and then messages from standard input, one per line. It writes each failure as a
line to standard output. When its input ends, it delivers the remaining messages and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.launch import own_python
from hpcwatch.monitor.notify import mail, webhook
from hpcwatch.monitor.notify.command import run
from hpcwatch.monitor.notify.digest import Digest, Spool
from hpcwatch.monitor.notify.plan import Ways
from hpcwatch.probe.decode import build

ARGV = own_python.argv("hpcwatch.monitor.notify.process")
DEADLINE_S = 15.0
"""The most time for one message on one way."""
LAST_S = 20.0
"""The most time for deliveries after the input has ended."""
_MOST_WAITING = 32
_LOOK_S = 60.0
"""Pause between two looks at an array's messages, whose folder is on a file server."""

Deliver = Callable[[bytes], None]


def deliveries(ways: Ways, is_shown: bool = False) -> dict[str, Deliver]:
    """Return way -> function that delivers a message. Each raises HpcwatchError."""
    found: dict[str, Deliver] = {}
    if ways.command:
        found["command"] = lambda line: run(ways.command, line, DEADLINE_S, is_shown)
    url_file, to = ways.webhook_file, ways.mail
    if url_file is not None:
        found["webhook"] = lambda line: webhook.post(line, url_file, ways.token_file, DEADLINE_S)
    if to:
        found["mail"] = lambda line: _mail(line, ways)
    return found


def _mail(line: bytes, ways: Ways) -> None:
    made = mail.mail(json.loads(line), ways.mail, ways.mail_from)
    if ways.smtp is not None:
        mail.by_smtp(made, ways.mail, ways.smtp, DEADLINE_S)
    else:
        mail.by_sendmail(made, ways.mail, DEADLINE_S)


class Way:
    """One way of delivery, with its own thread, so that a slow way does not delay others."""

    def __init__(self, name: str, deliver: Deliver, failed: Callable[[str], None]) -> None:
        self._name, self._deliver, self._failed = name, deliver, failed
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Queue a message. It is lost if too many are waiting."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._failed(f"{self._name}: too slow, a message was left out")

    def end(self, patience_s: float) -> None:
        """Deliver the waiting messages within a limited time."""
        try:
            self._waiting.put(None, timeout=max(patience_s, 0.01))
        except queue.Full:
            pass
        else:
            self._thread.join(max(patience_s, 0.01))
        if self._thread.is_alive():
            self._failed(f"{self._name}: a message was not delivered in time")

    def _work(self) -> None:
        while True:
            line = self._waiting.get()
            if line is None:
                return
            try:
                self._deliver(line)
            except HpcwatchError as error:
                self._failed(f"{self._name}: {error}")
            except OSError as error:
                self._failed(f"{self._name}: {os_reason(error)}")
            except Exception as error:  # other messages are still delivered
                self._failed(f"{self._name}: {type(error).__name__}")


class Sender:
    """All ways of delivery. Each kind of failure is written once to standard output."""

    def __init__(self, ways: Ways) -> None:
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._ways = [Way(name, one, self._failed) for name, one in deliveries(ways).items()]

    def send(self, line: bytes) -> None:
        """Deliver a message on all ways."""
        for way in self._ways:
            way.put(line)

    def end(self) -> None:
        """Deliver the remaining messages within ``LAST_S`` seconds."""
        end_s = time.monotonic() + LAST_S
        for way in self._ways:
            way.end(end_s - time.monotonic())

    def _failed(self, what: str) -> None:
        with self._lock:
            if what not in self._said:
                self._said.add(what)
                _tell({"failed": what[:500]})


def _tell(plain: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the monitor may have ended: go on delivering
        os.write(1, json.dumps(plain).encode() + b"\n")


def task(ways: Ways, spool: Spool | None) -> bytes:
    """Return the first line of the process's input."""
    plain = {"ways": ways._asdict(), "spool": spool and spool._asdict()}
    return json.dumps(plain).encode() + b"\n"


def main() -> None:
    """Deliver messages until standard input ends."""
    plain = json.loads(sys.stdin.buffer.readline())
    ways = build(Ways, plain["ways"], odd=[])
    sender = Sender(ways)
    digest = None
    send: Deliver = sender.send
    if plain["spool"] is not None:
        digest = Digest(build(Spool, plain["spool"], odd=[]), sender.send)
        send = digest.take
        threading.Thread(target=_look_again, args=(digest,), daemon=True).start()
    for line in sys.stdin.buffer:
        send(line)
    if digest is not None:
        digest.end()
    sender.end()
    os._exit(0)


def _look_again(digest: Digest) -> None:
    while True:
        time.sleep(_LOOK_S)
        digest.look()


if __name__ == "__main__":
    main()
