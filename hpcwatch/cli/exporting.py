"""Starts and ends the export beside a watched program or job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.export.exporter import Exporter
    from hpcwatch.export.scene import Source
    from hpcwatch.export.wanted import Wanted
    from hpcwatch.monitor.watch import Watch


def started(
    sources: Sequence[Source],
    wanted: Wanted,
    say: Callable[[str], None],
    is_told: bool = True,
    is_strict: bool = True,
) -> Exporter:
    """Start exporting; if ``is_strict``, a port that cannot be opened raises HpcwatchError.

    ``say`` is called with what fails and, if ``is_told``, with where the listener is.
    """
    from hpcwatch.export.exporter import Exporter

    exporter = Exporter(sources, wanted, say)
    exporter.start(is_strict)
    if exporter.listener is not None and is_told:
        say(f"numbers are on {exporter.listener.url}{_warning(wanted)}")
    return exporter


def _warning(wanted: Wanted) -> str:
    is_open = wanted.listen is not None and not wanted.listen.is_loopback
    return ", open to whoever reaches this port" if is_open and wanted.token is None else ""


@contextmanager
def of_job(watch: Watch, wanted: Wanted | None, is_strict: bool) -> Iterator[None]:
    """Export a watched job meanwhile, if that is requested. See ``started``."""
    if wanted is None:
        yield
        return
    from hpcwatch.export.watched import Watched

    exporter = started([Watched(watch)], wanted, watch.say, is_strict=is_strict)
    try:
        yield
    finally:
        exporter.stop()
