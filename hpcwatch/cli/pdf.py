"""The report as a PDF of one page, printed by the Chromium that is here.

The browser is spoken to over a pair of pipes (the DevTools protocol: JSON, a zero byte at the end),
so that the page can be as long as the report is. It fetches nothing: the HTML has all in itself.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from hpcwatch.base.errors import HpcwatchError, os_reason

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_S = 60.0  # of one answer: starting takes a second, on a busy node many
_PIXELS_PER_INCH = 96.0
_WIDTH_INCHES, _MARGIN_INCHES = 8.27, 0.5  # A4
_LONGEST_INCHES = 199.0  # no PDF page may be longer than 200
_FLAGS = (
    *("--headless", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--no-default-browser-check", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
_BY_HAND = "write the page (-o report.html), open it in a browser and print it from there"


def pdf(page: str) -> bytes:
    """Return the HTML page printed on one page of paper. Raises HpcwatchError with what to do."""
    program = next((found for found in map(shutil.which, _BROWSERS) if found), None)
    if program is None:
        raise HpcwatchError("a PDF needs chromium, which is not installed here", _BY_HAND)
    try:
        with tempfile.TemporaryDirectory(prefix="hpcwatch-pdf-") as folder:
            path = Path(folder) / "report.html"
            path.write_text(page, "utf-8")
            with contextlib.closing(_Browser(program, folder)) as browser:
                return _printed(browser, path)
    except (OSError, ValueError, KeyError) as error:
        raise HpcwatchError(f"{program} made no PDF ({os_reason(error)})", _BY_HAND) from None


def _printed(browser: _Browser, path: Path) -> bytes:
    browser.open_page()
    width = int((_WIDTH_INCHES - 2 * _MARGIN_INCHES) * _PIXELS_PER_INCH)
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.ask("Emulation.setDeviceMetricsOverride", **size)
    browser.ask("Page.navigate", url=path.as_uri())
    browser.await_true("document.readyState === 'complete' && location.protocol === 'file:'")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")  # unfolds, draws for paper
    pixels = float(browser.evaluate("document.documentElement.scrollHeight"))
    # Paper is laid out anew, so that lines may break otherwise: some room is left for that.
    inches = 1.05 * pixels / _PIXELS_PER_INCH + 2 * _MARGIN_INCHES + 0.5
    answer = browser.ask(
        "Page.printToPDF",
        printBackground=True,
        paperWidth=_WIDTH_INCHES,
        paperHeight=min(inches, _LONGEST_INCHES),
        **{f"margin{side}": _MARGIN_INCHES for side in ("Top", "Bottom", "Left", "Right")},
    )
    return base64.b64decode(answer["data"])


class _Browser:
    """A Chromium without a window. Raises OSError and ValueError where it does not answer."""

    def __init__(self, program: str, folder: str) -> None:
        to_read, self._writing = os.pipe()
        self._reading, to_write = os.pipe()
        flags = [*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        # The browser reads from descriptor 3 and writes to 4: a shell puts them there.
        shell = ["sh", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "sh"]
        try:
            self._process = subprocess.Popen(
                [*shell, program, *flags, f"--user-data-dir={folder}/profile"],
                pass_fds=(to_read, to_write),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "HOME": folder},
            )
        finally:
            os.close(to_read)
            os.close(to_write)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None

    def open_page(self) -> None:
        """Open an empty page, and send it all that follows."""
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
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise ValueError(f"{method}: {answer['error'].get('message')}")
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        end_s = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._buffer:
            left_s = max(end_s - time.monotonic(), 0.0)
            if not select.select([self._reading], [], [], left_s)[0]:
                raise TimeoutError(f"no answer within {_PATIENCE_S:g} s")
            data = os.read(self._reading, 1 << 20)
            if not data:
                raise OSError("it ended before it answered")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def await_true(self, script: str) -> None:
        """Wait until an expression holds in the page."""
        end_s = time.monotonic() + _PATIENCE_S
        while not self.evaluate(script):
            if time.monotonic() > end_s:
                raise TimeoutError("the page does not load")
            time.sleep(0.02)

    def close(self) -> None:
        """End the browser and all its processes: it goes when nobody can command it."""
        os.close(self._writing)
        os.close(self._reading)
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
