"""The formats of a report: their names, the file endings that mean them, and how each is made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from hpcwatch.analysis.report import Report
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.recording.previous_runs import EarlierRun

FORMATS = ("text", "html", "markdown", "json", "csv")
_ENDINGS = {
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
    ".csv": "csv",
}


def format_of(path: str) -> str:
    """Return the format that a file's ending means. Raises HpcwatchError if it means none."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in _ENDINGS:
        hint = f"say --format {'|'.join(FORMATS)}, or name it like report.html"
        raise HpcwatchError(f"{path}: no format is known by this name", hint, EXIT_USAGE)
    return _ENDINGS[ending]


def pieces(report: Report, name: str, earlier: Sequence[EarlierRun] = ()) -> Iterable[str]:
    """Return the report in a format, piece by piece: time series may be long."""
    if name == "csv":
        from hpcwatch.views.report import csv

        return csv.rows(report)
    if name == "html":
        from hpcwatch.views.report import html

        return [html.page(report, earlier)]
    if name == "markdown":
        from hpcwatch.views.report import markdown

        return [markdown.text(report, earlier)]
    if name == "json":
        from hpcwatch.analysis.report.to_json import to_json

        return [to_json(report), "\n"]
    from hpcwatch.views.report import terminal

    return [terminal.text(report, coloured=False)]
