"""The formats of a report: their names, the file endings that mean them, and how each is made.

A new format is a line of TABLE and the function that makes it. Nothing is imported before it is
needed: `run` asks for the names before it starts a program.
"""

from hpcwatch.probe.typed import TYPE_CHECKING, Any, Callable, Iterable, NamedTuple, Sequence

if TYPE_CHECKING:
    from hpcwatch.analysis.report import Report
    from hpcwatch.recording.previous_runs import EarlierRun
else:
    Report = EarlierRun = Any  # types as text would be compiled at each start


def _text(report: Report, _earlier: Sequence[EarlierRun]) -> Iterable[str]:
    from hpcwatch.views.report import terminal

    return [terminal.text(report, coloured=False)]


def _html(report: Report, earlier: Sequence[EarlierRun]) -> Iterable[str]:
    from hpcwatch.views.report import html

    return [html.page(report, earlier)]


def _markdown(report: Report, earlier: Sequence[EarlierRun]) -> Iterable[str]:
    from hpcwatch.views.report import markdown

    return [markdown.text(report, earlier)]


def _json(report: Report, _earlier: Sequence[EarlierRun]) -> Iterable[str]:
    from hpcwatch.analysis.report.to_json import to_json

    return [to_json(report), "\n"]


def _csv(report: Report, _earlier: Sequence[EarlierRun]) -> Iterable[str]:
    from hpcwatch.views.report import csv

    return csv.rows(report)


class Format(NamedTuple):
    """One format of a report."""

    name: str
    endings: tuple[str, ...]
    """Of files, in lower case: a name with one of them means this format."""
    pieces: Callable[[Report, Sequence[EarlierRun]], Iterable[str]]
    """Makes it from a report and the earlier runs of the same program, piece by piece."""
    needs_file: bool = False
    """It is nothing to print on a terminal."""


TABLE = (
    Format("text", (".txt",), _text),
    Format("html", (".html", ".htm"), _html, needs_file=True),
    Format("markdown", (".md", ".markdown"), _markdown),
    Format("json", (".json",), _json),
    Format("csv", (".csv",), _csv),
)
FORMATS = {one.name: one for one in TABLE}
"""By name, in the order in which they are listed."""


def pieces(report: Report, name: str, earlier: Sequence[EarlierRun] = ()) -> Iterable[str]:
    """Return the report in a format, piece by piece: time series may be long."""
    return FORMATS[name].pieces(report, earlier)
