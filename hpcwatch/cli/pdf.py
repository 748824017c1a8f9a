"""The report as a PDF of one page, printed by the Chromium that is here.

The page is as long as the report. The browser fetches nothing: the HTML contains all that it shows.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.cli.devtools import Browser

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PIXELS_PER_INCH = 96.0
_WIDTH_INCHES, _MARGIN_INCHES = 8.27, 0.5  # A4
_LONGEST_INCHES = 199.0  # no PDF page may be longer than 200
_REMOVAL_S = 5.0
"""A PDF that is printed is not lost for a folder that cannot be removed."""
_BY_HAND = "write the page (-o report.html), open it in a browser and print it from there"


def pdf(page: str) -> bytes:
    """Return the HTML page printed on one page of paper. Raises HpcwatchError with what to do."""
    program = next((found for found in map(shutil.which, _BROWSERS) if found), None)
    if program is None:
        raise HpcwatchError("a PDF needs chromium, which is not installed here", _BY_HAND)
    try:
        with _folder() as folder:
            path = Path(folder) / "report.html"
            path.write_text(page, "utf-8")
            with contextlib.closing(Browser(program, folder)) as browser:
                return _printed(browser, path)
    except (OSError, ValueError, KeyError) as error:
        raise HpcwatchError(f"{program} made no PDF ({os_reason(error)})", _BY_HAND) from None


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """Make a folder, and remove it as soon as the browser's last processes let it go."""
    made = tempfile.mkdtemp(prefix="hpcwatch-pdf-")
    try:
        yield made
    finally:
        end_s = time.monotonic() + _REMOVAL_S
        while os.path.lexists(made) and time.monotonic() < end_s:
            shutil.rmtree(made, ignore_errors=True)
            time.sleep(0.02)


def _printed(browser: Browser, path: Path) -> bytes:
    browser.open_page()
    width = int((_WIDTH_INCHES - 2 * _MARGIN_INCHES) * _PIXELS_PER_INCH)
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.ask("Emulation.setDeviceMetricsOverride", **size)
    browser.ask("Page.navigate", url=path.as_uri())
    browser.await_true("document.readyState === 'complete' && location.protocol === 'file:'")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    browser.run("dispatchEvent(new Event('beforeprint'))")  # unfolds, draws for paper
    pixels = float(browser.run("document.documentElement.scrollHeight"))
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
