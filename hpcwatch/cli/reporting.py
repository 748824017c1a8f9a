"""`--report FORMAT[:FILE]` of `run`, `job` and `submit`."""

import os

from hpcwatch.probe.typed import TYPE_CHECKING, Callable, NamedTuple, Optional, Sequence, TextIO

if TYPE_CHECKING:
    from hpcwatch.analysis.report import Report

NONE = "none"
"""Nothing is printed."""


class Wanted(NamedTuple):
    """A requested report."""

    format: str
    path: Optional[str]
    """None: print it in place of the text."""


def help_text() -> str:
    """Return the help text of ``--report``."""
    from hpcwatch.views.report.formats import FORMATS

    return (
        f"the report's format: {', '.join(FORMATS)}, or none; with a FILE the report is also "
        f"written there; may be given several times"
    )


def wanted(text: str) -> Wanted:
    """Read FORMAT[:FILE]; a file that cannot be written is an error now, not after three days."""
    from hpcwatch.views.report.formats import FORMATS

    name, _, path = text.partition(":")
    if text == NONE:
        return Wanted(NONE, None)
    if name not in FORMATS:
        raise _refused(f"{name!r} is not a format: give {', '.join(FORMATS)}, or none")
    if not path:
        if FORMATS[name].needs_file:
            hint = f"{name.upper()} is for a browser, not for a terminal: say {name}:report.{name}"
            raise _refused(hint)
        return Wanted(name, None)
    refused = unwritable(path)
    if refused is not None:
        raise _refused(refused)
    return Wanted(name, os.path.abspath(path))


def _refused(why: str) -> Exception:
    import argparse

    return argparse.ArgumentTypeError(why)


def unwritable(path: str) -> Optional[str]:
    """Return why a file cannot be written; None if it can."""
    folder = os.path.dirname(path) or "."
    if not path:
        return "the file's name is empty"
    if os.path.isdir(path):
        return f"{path!r} is a folder: name a file in it"
    if not os.path.isdir(folder):
        return f"no folder {folder!r} to write {path!r} in"
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        return f"{path!r} may not be written"
    return None


def printed(
    report: "Report", asked: Sequence[Wanted], stream: Optional[TextIO], colour: str
) -> str:
    """Return the formats that go to a stream: those without a file, else the text."""
    from hpcwatch.views.report import terminal
    from hpcwatch.views.text import columns_of, wants_colour

    made = ""
    for name in [one.format for one in asked if one.path is None] or ["text"]:
        if name == NONE:
            continue
        if name == "text":
            made += terminal.text(report, wants_colour(stream, colour), columns_of(stream))
        else:
            from hpcwatch.recording.previous_runs import earlier_runs
            from hpcwatch.views.report import formats

            made += "".join(formats.pieces(report, name, earlier_runs(report.run)))
    return made


def write_all(report: "Report", asked: Sequence[Wanted]) -> None:
    """Write the formats with a file. Raises HpcwatchError at the end if one cannot be written."""
    failures: list[str] = []
    write(report, asked, failures.append)
    if failures:
        from hpcwatch.base.errors import HpcwatchError

        raise HpcwatchError("; ".join(failures))


def write(report: "Report", asked: Sequence[Wanted], say: Callable[[str], None]) -> None:
    """Write the formats with a file; a failure is one message, and the next one is tried.

    ``say`` is called with each message.
    """
    for one in asked:
        if one.path is None:
            continue
        from hpcwatch.base.errors import HpcwatchError
        from hpcwatch.base.files import write as write_file
        from hpcwatch.recording.previous_runs import earlier_runs
        from hpcwatch.views.report import formats

        try:
            write_file(one.path, formats.pieces(report, one.format, earlier_runs(report.run)))
        except HpcwatchError as error:
            say(f"no {one.format} report: {error}")
