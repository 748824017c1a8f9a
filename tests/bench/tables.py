"""How a benchmark is asked and answers: its options, its tables, its raw numbers."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

NOTHING = "–"


def options(description: str | None) -> argparse.Namespace:
    """The options every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw numbers there")
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="only this tool; repeatable"
    )
    return parser.parse_args()


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in markdown."""
    body = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in body)


def spread(values: Sequence[float | None], digits: int = 0) -> str:
    """The median, and the range where there is one; a dash if nothing was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    low, middle, high = (
        f"{value:.{digits}f}" for value in (min(known), statistics.median(known), max(known))
    )
    return middle if low == high else f"{middle} ({low}–{high})"


def save(path: Path | None, results: Mapping[str, object]) -> None:
    """Write the raw numbers, if they are wanted."""
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n")


def progress(text: str) -> None:
    """What is being measured, on standard error: the tables alone are on standard output."""
    print(text, file=sys.stderr, flush=True)
