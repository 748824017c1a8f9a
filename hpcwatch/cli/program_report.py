"""What `hpcwatch run` prints and writes when its program has ended."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from hpcwatch.analysis import report
from hpcwatch.cli import reporting, retention
from hpcwatch.monitor import standard_error
from hpcwatch.monitor.run import Observer
from hpcwatch.recording import store
from hpcwatch.views.text import columns_of, fresh_line

if TYPE_CHECKING:
    from hpcwatch.cli.run import Options
    from hpcwatch.launch.program import Program
    from hpcwatch.monitor.run import LiveView, Opening


class Reporter(Observer):
    """The monitor of `hpcwatch run`: its live view, and the report when the program has ended."""

    def __init__(self, options: Options, program: Program) -> None:
        super().__init__(options, program, self._open_view)
        self._asked = options

    def _open_view(self, opening: Opening) -> LiveView | None:
        """Open the live view that ``--view`` and ``--color`` choose; it may be none."""
        kind = "none" if self._asked.quiet else _view_wanted(self._asked.view)
        if kind == "none":
            return None
        from hpcwatch.cli.display import Display

        return Display(kind, self._asked.color, opening)

    def finish(self) -> None:
        """Record the program's end, print the report and write the files that were requested."""
        super().finish()
        made = self.made
        if made is not None:
            self.guarded("no report", lambda: self._tell(made))
        self.guarded("old recordings not removed", lambda: retention.tidy(self.say))

    def _tell(self, made: report.Report) -> None:
        asked = self._asked
        text = "" if asked.quiet else self._text(made)
        if text:
            standard_error.write(text)
        reporting.write(made, asked.report, self.say)

    def _text(self, made: report.Report) -> str:
        asked = self._asked
        text = reporting.printed(made, asked.report, sys.stderr, asked.color)
        if not text:
            return ""
        if sys.stderr is not None and sys.stderr.isatty():
            text = fresh_line(columns_of(sys.stderr)) + text
        if self.saved is not None:
            is_at_home = self.saved.path.startswith(store.root() + os.sep)
            named = made.run.id if is_at_home else shlex.quote(asked.output or "")
            text += f"Again: hpcwatch report {named}\n"
        return text


def _view_wanted(choice: str) -> str:
    """Return the view that --view requests: by default the panel on a terminal, else none."""
    if sys.stderr is None:
        return "none"
    if choice != "auto":
        return choice
    has_terminal = sys.stderr.isatty() or (sys.stdout is not None and sys.stdout.isatty())
    return "panel" if has_terminal and os.environ.get("TERM", "dumb") != "dumb" else "none"
