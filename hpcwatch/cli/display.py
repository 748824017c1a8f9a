"""The live view of `hpcwatch run`: the panel, a line per interval, or nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.report import cores_allowed
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.monitor import standard_error
from hpcwatch.monitor.live_findings import About, Looking
from hpcwatch.probe.schema import Sample
from hpcwatch.recording.store import Event
from hpcwatch.views.run.state import LiveState, live_state
from hpcwatch.views.text import columns_of, render, wants_colour

if TYPE_CHECKING:
    from hpcwatch.monitor.run import Opening
    from hpcwatch.views.run.panel import Panel

_QUIET_S = 0.5  # a program shorter than this ends before a person could read a panel
_REPAINT_S = 0.95


class Display:
    """Shows the latest sample.

    ``update`` is called on the session's thread, everything else on the monitor's.
    """

    def __init__(self, kind: str, colour: str, opening: Opening) -> None:
        timeline = opening.timeline
        self._kind = kind
        self._colour = colour
        self._timeline = timeline
        self._program = opening.program
        self._lock = opening.lock
        self._looking = opening.looking or Looking(opening.settings)
        self._panel: Panel | None = None
        self.step: str | None = None
        """The phase that the program reports: set before ``update``."""
        self.events: tuple[Event, ...] = ()
        """The steps that the program reported: set before ``update``."""
        self._note: str | None = None
        self._notes: list[str] = []
        self._shown_s = 0.0
        self._is_closed = False

    def update(self, sample: Sample) -> None:
        """Take a sample and show it, at most once a second. On the session's thread."""
        elapsed_s = sample.uptime_s - self._program.started_uptime_s
        interval_s = max(_REPAINT_S, 0.95 * self._timeline.interval_s)
        if self._is_closed or elapsed_s < _QUIET_S or elapsed_s - self._shown_s < interval_s:
            return
        host = self._timeline.hosts[sample.host]
        state = self._state(host, sample, elapsed_s)
        if self._kind == "line":
            self._print_line(state)
        else:
            self._paint(state)
        self._shown_s = elapsed_s

    def _state(self, host: HostTimeline, sample: Sample, elapsed_s: float) -> LiveState:
        job = self._timeline.job
        return live_state(
            host=host,
            elapsed_s=elapsed_s,
            cores=cores_allowed(job, host),
            walltime_s=job.walltime_s if job is not None else None,
            findings=self._findings(sample),
            note=self._note,
            step=self.step,
        )

    def _findings(self, sample: Sample) -> list[Finding]:
        about = About(self.events, dict(os.environ), self._program.started_s, is_program=True)
        with self._lock:  # other nodes' samples come on another thread
            self._looking.look(self._timeline, sample.host, about)
        return self._looking.found()

    def _print_line(self, state: LiveState) -> None:
        from hpcwatch.views.run.line import line

        coloured = wants_colour(sys.stderr, self._colour)
        standard_error.write(render(line(state, columns_of(sys.stderr)), coloured) + "\n")

    def _paint(self, state: LiveState) -> None:
        if self._panel is None:
            from hpcwatch.views.run.panel import Panel

            self._panel = Panel.open(self._colour)
            if self._panel is None:
                self._is_closed = True
                return
        self._panel.show(state)

    def note(self, message: str) -> bool:
        """Show one of the monitor's own messages in the view; return False if there is no view."""
        if self._panel is None or self._is_closed:
            return False
        self._note = message.strip()
        self._notes.append(message)
        return True

    def resized(self) -> None:
        """Fit the view to the terminal's new size."""
        if self._panel is not None:
            self._panel.resized()

    def suspend(self) -> None:
        """Clear the view before this process is stopped (SIGTSTP)."""
        if self._panel is not None:
            self._panel.suspend()

    def resume(self) -> None:
        """Show the view again when this process continues."""
        if self._panel is not None:
            self._panel.resume()

    def close(self) -> None:
        """Clear the view for good; its notes are printed again, below, where they stay."""
        self._is_closed = True
        if self._panel is not None:
            self._panel.close()
        for note in self._notes:
            standard_error.write(note)
