"""A real Chromium without a window: what a user does in a page, and what the page does."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from types import TracebackType

from hpcwatch.cli.devtools import Browser

DEADLINE_S = 120.0

KEYS = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}
"""Name -> the code that Windows gave it, by which pages know keys."""


class Chromium(Browser):
    """The browser, with one page open."""

    patience_s = DEADLINE_S

    def __init__(self, folder: Path) -> None:
        super().__init__("chromium", str(folder), ["--hide-scrollbars"])
        self.open_page()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, path: Path, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Open a file from disk and wait until it is drawn."""
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        self.wait_for("document.readyState === 'complete'", "the page to load")
        self.settle()

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window a size."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def settle(self) -> None:
        """Wait until two frames have been painted: plots are drawn in between."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def wait_for(self, script: str, what: str) -> None:
        """Wait until an expression holds in the page."""
        end = time.monotonic() + DEADLINE_S
        while not self.run(f"Boolean({script})"):
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain for {what}")
            time.sleep(0.02)

    def mouse(self, kind: str, x: float, y: float, clicks: int = 0) -> None:
        """Move or press the mouse: ``mouseMoved``, ``mousePressed``, ``mouseReleased``."""
        button = "none" if kind == "mouseMoved" and not clicks else "left"
        self.ask(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button=button,
            buttons=1 if clicks else 0,
            clickCount=clicks,
        )

    def click(self, x: float, y: float, clicks: int = 1) -> None:
        """Click, or double-click."""
        for count in range(1, clicks + 1):
            self.mouse("mousePressed", x, y, count)
            self.mouse("mouseReleased", x, y, count)

    def key(self, name: str) -> None:
        """Press and release a key of ``KEYS``."""
        code = KEYS[name]
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, **text
            )

    def picture(self, path: Path, whole: bool = True) -> None:
        """Save what the page looks like, all of it or only what the window shows."""
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def complaints(self) -> list[str]:
        """What the page wrote to the console, failed at, or was forbidden, since it was opened."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(one["params"]) for one in self.events if one.get("method") in kinds]

    def requests(self) -> list[str]:
        """Every address that was asked for since the page was opened."""
        return [
            one["params"]["request"]["url"]
            for one in self.events
            if one.get("method") == "Network.requestWillBeSent"
        ]
