"""A Chromium without a window, commanded over a pair of pipes.

Each message of the DevTools protocol is JSON and ends in a zero byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

_FLAGS = (
    *("--headless", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--no-default-browser-check", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
# The browser reads from descriptor 3 and writes to 4. A shell moves no descriptor above 9 there.
_PLACE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def _pipe(ours: int) -> tuple[int, int]:
    """Return the browser's end of a new pipe, which is none of the low numbers, and our end."""
    ends = os.pipe()
    theirs = ends[1 - ours]
    try:
        return fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, 10), ends[ours]
    finally:
        os.close(theirs)


class Browser:
    """Chromium with one page. Raises OSError and ValueError if it does not answer.

    ``folder`` is its home, so that it neither reads nor changes the user's own profile.
    """

    patience_s = 60.0
    """For one answer: a start takes a second, on a busy node many."""

    def __init__(self, program: str, folder: str, flags: Sequence[str] = ()) -> None:
        self.events: list[dict[str, Any]] = []
        """What the browser reported while an answer was awaited."""
        to_read, self._writing = _pipe(ours=1)
        to_write, self._reading = _pipe(ours=0)
        more = ["--no-sandbox"] if os.geteuid() == 0 else []
        place = [sys.executable, "-I", "-S", "-c", _PLACE, str(to_read), str(to_write)]
        try:
            self._process = subprocess.Popen(
                [*place, program, *_FLAGS, *more, *flags, f"--user-data-dir={folder}/profile"],
                pass_fds=(to_read, to_write),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "HOME": folder},
                start_new_session=True,  # so that all of its processes can be ended
            )
        finally:
            os.close(to_read)
            os.close(to_write)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None

    def open_page(self) -> None:
        """Open an empty page, to which all further commands go."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writing, data) :]
        while True:
            answer = self._next()
            if answer.get("id") != self._number:
                self.events.append(answer)
            elif "error" in answer:
                raise ValueError(f"{method}: {answer['error'].get('message')}")
            else:
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        end_s = time.monotonic() + self.patience_s
        while b"\0" not in self._buffer:
            left_s = max(end_s - time.monotonic(), 0.0)
            if not select.select([self._reading], [], [], left_s)[0]:
                raise TimeoutError(f"no answer within {self.patience_s:g} s")
            data = os.read(self._reading, 1 << 20)
            if not data:
                raise OSError("it ended before it answered")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise ValueError(f"{script[:80]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def await_true(self, script: str) -> None:
        """Wait until an expression holds in the page."""
        end_s = time.monotonic() + self.patience_s
        while not self.run(script):
            if time.monotonic() > end_s:
                raise TimeoutError("the page does not load")
            time.sleep(0.02)

    def close(self) -> None:
        """End the browser and all its processes: it goes when nobody can command it."""
        os.close(self._writing)
        os.close(self._reading)
        self._process.terminate()
        try:
            self._process.wait(self.patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):  # its helpers outlive it for a moment, and write
            os.killpg(self._process.pid, signal.SIGKILL)
