"""Whether hpcwatch runs from ``hpcwatch.pyz``, which holds the commands but not all of the data."""

from __future__ import annotations


def path() -> str | None:
    """Return the path of the single file that hpcwatch runs from, or None if it is installed."""
    archive: str | None = getattr(__spec__.loader, "archive", None)
    return archive


LACKING_HINT = "the single file does not have them; install hpcwatch: pip install hpcwatch"
"""What to do where a command needs data that only an installation has."""
