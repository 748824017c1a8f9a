"""What `hpcwatch run` prints and writes when its program has ended."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from hpcwatch.analysis import report
from hpcwatch.base.output import write_error
from hpcwatch.cli import reporting
from hpcwatch.recording import store
from hpcwatch.views.text import columns_of, fresh_line

if TYPE_CHECKING:
    from hpcwatch.cli.run import Options
    from hpcwatch.monitor.run import Observer


def show(made: report.Report, options: Options, observer: Observer) -> None:
    """Print the report and write the files that were requested."""
    text = reporting.printed(made, options.report, sys.stderr, options.color)
    if sys.stderr is not None and sys.stderr.isatty():
        text = fresh_line(columns_of(sys.stderr)) + text
    if observer.saved is not None:
        is_at_home = observer.saved.path.startswith(store.root() + os.sep)
        named = made.run.id if is_at_home else shlex.quote(options.output or "")
        text += f"Again: hpcwatch report {named}\n"
    write_error(text)
    reporting.write(made, options.report, observer.say)
