"""The live view's loop: keys, signals, repaints; the terminal comes back on every way out."""

from __future__ import annotations

import gc
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from hpcwatch.monitor.picture import Picture
from hpcwatch.views.live.browser import Actions, Browser
from hpcwatch.views.live.controls import Controls
from hpcwatch.views.live.keys import Decoder
from hpcwatch.views.live.screen import Screen, charts_letters
from hpcwatch.views.live.signals import ENDING, Signals

_EVERY_S = 0.25
_SHARE = 0.02  # of a core that repaints may take: a slow machine, or many nodes, get fewer
_OPENING_S = 3.0
_OPENING_EVERY_S, _OPENING_SHARE = 0.05, 0.25
"""The first reading of a node is shown at once: somebody waits for it."""
_ESCAPE_S = 0.05  # after an Esc, the rest of a sequence comes within this time


class LiveView:
    """The full screen. ``picture`` is asked from ``run`` alone, at most four times a second.

    While no node has been read it is asked more often, for three seconds.
    """

    def __init__(
        self,
        picture: Callable[[], Picture],
        actions: Actions,
        colour: str = "auto",
        guard: AbstractContextManager[object] | None = None,
        controls: Controls | None = None,
        share: float = _SHARE,
    ) -> None:
        """``colour`` is ``auto``, ``always`` or ``never``; ``controls`` are the command's own keys.

        ``share`` of a core is what all of it may take. ``guard`` is entered while anything is
        drawn: samples may arrive on other threads.
        """
        self._guard = guard if guard is not None else nullcontext()
        self._picture = picture
        self._browser = Browser(actions, controls, charts_letters())
        self._colour = colour
        self._share = share
        self._decoder = Decoder()
        self._code: int | None = None
        self._escape_s: float | None = None
        self._shown: object = None
        self._due_s = 0.0
        self._opening_until_s = time.monotonic() + _OPENING_S

    def run(self) -> int:
        """Show it until the user leaves; return the exit code, 128+n after a signal n.

        Raises HpcwatchError (exit code 2) where no full screen can be shown. Whatever else is
        raised meanwhile passes through, with the terminal restored.
        """
        with Signals() as signals, Screen(self._colour) as screen, few_collections():
            while self._code is None:
                self._repaint_if_due(screen)
                waited = [screen.fileno(), signals.fileno()]
                ready, _, _ = select.select(waited, [], [], self._pause_s())
                if signals.fileno() in ready:
                    for number in signals.take():
                        self._heard(number, screen, signals)
                self._keys(screen, is_ready=screen.fileno() in ready)
            return self._code

    def _pause_s(self) -> float:
        now_s = time.monotonic()
        due_s = self._due_s if self._escape_s is None else min(self._due_s, self._escape_s)
        return max(due_s - now_s, 0.0)

    def _repaint_if_due(self, screen: Screen) -> None:
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        began_s = time.thread_time()  # where others have the core, that is no cost of ours
        with self._guard:
            picture = self._picture()
            seen = _fingerprint(picture)
            is_new = seen != self._shown
            if is_new:
                self._shown = seen
                self._browser.look(picture)
        if is_new:
            self._paint(screen)
        spent_s = time.thread_time() - began_s
        every_s, share = _EVERY_S, self._share
        if now_s < self._opening_until_s and not picture.timeline.hosts:
            every_s, share = _OPENING_EVERY_S, max(share, _OPENING_SHARE)
        self._due_s = now_s + max(every_s, spent_s / share)

    def _paint(self, screen: Screen) -> None:
        width, height = screen.size()
        with self._guard:
            lines = self._browser.lines(width, height)
        screen.paint(lines, width)

    def _keys(self, screen: Screen, is_ready: bool) -> None:
        keys: list[str] = []
        if is_ready:
            data = screen.read()
            if data is None:
                self._code = 128 + signal.SIGHUP
                return
            keys = self._decoder.feed(data)
            is_pending = self._decoder.is_pending
            self._escape_s = time.monotonic() + _ESCAPE_S if is_pending else None
        elif self._escape_s is not None and time.monotonic() >= self._escape_s:
            keys, self._escape_s = self._decoder.flush(), None
        for key in keys:
            self._press(key, screen)
            if self._code is not None:
                return
        if keys:
            self._paint(screen)

    def _press(self, key: str, screen: Screen) -> None:
        if key == "redraw":
            screen.forget()
            return
        is_due = self._browser.press(key)
        screen.use_mouse(self._browser.has_mouse)
        if is_due:
            self._shown, self._due_s = None, 0.0
        if self._browser.is_over:
            self._code = 0

    def _heard(self, number: int, screen: Screen, signals: Signals) -> None:
        if number in ENDING:
            self._code = 128 + number
        elif number == signal.SIGINT and self._code is None:
            self._code = 0
        elif number == signal.SIGTSTP:
            screen.leave()
            signals.stop()
            screen.enter()
            self._paint(screen)
        elif number == signal.SIGCONT:  # after a stop that we were not notified of
            screen.enter()
            self._paint(screen)
        else:
            screen.forget()
            self._paint(screen)


@contextmanager
def few_collections() -> Iterator[None]:
    """Let the collector of circular garbage run seldom: samples hold no circles, and are many.

    Of a thousand nodes it would look through a million objects several times a minute, each time
    for longer than a redraw takes.
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _fingerprint(picture: Picture) -> object:
    """Return what differs when there is something new to see. Ages are shown in seconds."""
    return (
        int(picture.monotonic_s),
        picture.statuses,
        picture.job,
        picture.parts,
        picture.findings,
        picture.note,
        picture.replayed,
        picture.place,
        picture.telling,
        picture.logs,
        [(source.name, source.trouble) for source in picture.sources],
    )
