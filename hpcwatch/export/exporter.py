"""Delivers the numbers of runs and jobs while they run.

Nothing here raises after ``start``. A delivery that fails is reported in one line; the next one may
succeed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.export import jobstats, points, text
from hpcwatch.export.families import Point
from hpcwatch.export.listener import Listener
from hpcwatch.export.scene import Made, Numbers, Scene, Source
from hpcwatch.export.wanted import Wanted
from hpcwatch.monitor.standard_error import attempt

_FIRST_S = 2.0
_LAST_S = 2.0
"""The most time for the last delivery, which the user waits for."""
_DELIVERY_S = 10.0


NAMES: dict[str, Made] = {"hpcwatch": points.points_of, "jobstats": jobstats.points_of}
"""``--names`` -> the function that makes the numbers."""


class Exporter:
    """Exports its sources until it is stopped."""

    def __init__(
        self, sources: Sequence[Source], wanted: Wanted, say: Callable[[str], None]
    ) -> None:
        """``say`` gets one line about each failure. Nothing starts before ``start``."""
        self._sources = sources
        self._wanted = wanted
        self._say = say
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._written: tuple[int, int, int] | None = None
        """The text file as we last wrote it: another run's is left alone."""
        self._is_shared = False
        self.listener: Listener | None = None
        self.has_failed = False
        """True if a source could not be read."""

    def start(self, is_strict: bool = True) -> None:
        """Open the listener, and begin to deliver.

        If the port cannot be opened, raises HpcwatchError with ``is_strict``; else one line is
        said, and the numbers go the other ways.
        """
        wanted = self._wanted
        if wanted.listen is not None:
            try:
                self.listener = Listener(wanted.listen, self.text, wanted.token)
                self.listener.start()
            except HpcwatchError as error:
                if is_strict:
                    raise
                self._say(str(error))
        if wanted.textfile or wanted.push or wanted.otlp:
            self._thread = threading.Thread(
                target=self._deliver_again, name="hpcwatch-export", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Close the listener, deliver a last time, and remove the text file."""
        self._stop.set()
        if self.listener is not None:
            self.listener.close()
        if self._thread is None:
            return
        self._thread.join(_LAST_S)
        if not self._thread.is_alive():
            self.deliver(_LAST_S, is_last=True)
            return
        self._say(f"the end was not exported: a server did not answer within {_LAST_S:g} s")
        if self._wanted.textfile is not None:
            self._remove(self._wanted.textfile)

    def text(self, is_open: bool) -> str:
        """Return all numbers now, in OpenMetrics or in the format 0.0.4."""
        found = self._points()
        return text.openmetrics(found) if is_open else text.classic(found)

    def _points(self) -> Iterator[Point]:
        for numbers in self._each():
            yield from numbers.points

    def _deliver_again(self) -> None:
        wait_s = _FIRST_S  # until then a first reading has come
        while not self._stop.wait(wait_s):
            self.deliver(_DELIVERY_S)
            wait_s = self._wanted.every_s

    def deliver(self, deadline_s: float, is_last: bool = False) -> bool:
        """Deliver the numbers once on every way, each with its own deadline; True if none failed.

        With ``is_last`` the text file is removed, if it is ours, because its series would not end
        otherwise.
        """
        is_fine = True
        for name, way in self._ways(deadline_s, is_last):
            is_fine &= attempt(self._say, f"not exported to {name}", way)
        return is_fine and not self.has_failed

    def _ways(self, deadline_s: float, is_last: bool) -> Iterable[tuple[str, Callable[[], None]]]:
        wanted = self._wanted
        if wanted.textfile is not None:
            path = wanted.textfile
            yield path, lambda: self._remove(path) if is_last else self._write(path)
        if wanted.push is not None:
            gateway = wanted.push
            yield "the Pushgateway", lambda: self._push(gateway, deadline_s, is_last)
        if wanted.otlp is not None:
            collector = wanted.otlp
            yield "the collector", lambda: self._send(collector, deadline_s, is_last)

    def _push(self, gateway: str, deadline_s: float, is_last: bool) -> None:
        from hpcwatch.export import push  # may fail: hpcwatch may be removed while a program runs

        push.to_gateway(gateway, self._each(is_last), self._wanted.push_token, deadline_s)

    def _send(self, collector: str, deadline_s: float, is_last: bool) -> None:
        from hpcwatch.export import otlp

        otlp.send(collector, self._each(is_last), self._wanted.push_token, deadline_s)

    def _each(self, is_last: bool = False) -> list[Numbers]:
        """Return the numbers of each source. A source that fails is reported and left out."""
        found: list[Numbers] = []
        made = self._made
        for source in self._sources:
            take = partial(self._take, source, made, is_last, found)
            self.has_failed |= not attempt(self._say, "not exported", take)
        return found

    def _made(self, scene: Scene) -> Iterable[Point]:
        cluster = self._wanted.cluster
        if cluster:
            scene = scene._replace(about=scene.about._replace(cluster=cluster))
        return NAMES[self._wanted.names](scene)

    @staticmethod
    def _take(source: Source, made: Made, is_last: bool, found: list[Numbers]) -> None:
        found.append(source.numbers(made, is_last))

    def _write(self, path: str) -> None:
        from hpcwatch.base.files import write
        from hpcwatch.export import leftovers

        if self._written is None:
            leftovers.remove_beside(path)
        found = _identity(path)
        if self._written is not None and found not in (None, self._written) and not self._is_shared:
            self._is_shared = True
            self._say(f"{path} is written by another program too: each run needs a file of its own")
        # What is delivered only once is to stay: nobody is named who keeps it up to date.
        who = leftovers.mark(self._wanted.every_s) if self._thread is not None else ""
        write(path, [who, self.text(is_open=False)])
        self._written = _identity(path)

    def _remove(self, path: str) -> None:
        from hpcwatch.base.files import discard

        if self._written is not None and _identity(path) == self._written:
            discard(os.path.realpath(path))


def _identity(path: str) -> tuple[int, int, int] | None:
    """Return which file stands at a path, None if there is none.

    The time is a part of it, as the number of a removed file is given to a new one.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
