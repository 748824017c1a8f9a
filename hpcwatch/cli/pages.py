"""Pages of the documentation that are made from the code: ``python -m hpcwatch.cli.pages NAME``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator

from hpcwatch.analysis.findings import Rule, rules
from hpcwatch.cli import json_reference, reference
from hpcwatch.cli.described import commands
from hpcwatch.config.schema import KEYS
from hpcwatch.sweep.findings import RULES as SWEEP_RULES

_HEAD = """\
# Findings

Every finding that hpcwatch can report, with its thresholds. `hpcwatch explain NAME` prints the
same text. A threshold is changed in `config.toml`, in the table named after the rule:

```toml
[findings.cpu-low]
warning_pct = 50
```

Rules look at a window of time, never at one sample, and only at what provably belongs to the job.
A window with too few samples is unknown: the rule says nothing.

This page is made by `python -m hpcwatch.cli.pages findings > docs/findings.md`.
"""


def findings() -> Iterator[str]:
    """Yield the lines of the page on findings."""
    yield _HEAD
    yield "## Of a run or a job\n"
    for name, entry in sorted(rules().items()):
        yield from _section(name, entry.function, entry.silences)
    yield "## Of a sweep\n"
    for name, function in sorted(SWEEP_RULES.items()):
        yield from _section(name, function, ())


def _section(name: str, function: Rule, silences: tuple[str, ...]) -> Iterator[str]:
    yield f"### {name}\n"
    for paragraph in paragraphs(function):
        yield paragraph.replace("``", "`") + "\n"
    if silences:
        yield f"Silences: {', '.join(f'`{one}`' for one in silences)}.\n"
    thresholds = defaults(function)
    if thresholds:
        yield "| threshold | default |\n|---|---|"
        for threshold, default in thresholds.items():
            yield f"| `{threshold}` | {'not set' if default is None else default} |"
        yield ""


def defaults(function: Rule) -> dict[str, object]:
    """Return a rule's thresholds with their defaults, None for one that is not set."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def paragraphs(function: Rule) -> list[str]:
    """Return the paragraphs of a rule's docstring; its source is a paragraph of its own."""
    apart = re.sub(r"(?<=[.:])\s+(?=Source:)", "\n\n", inspect.getdoc(function) or "")
    return [" ".join(paragraph.split()) for paragraph in apart.split("\n\n")]


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "findings": findings,
    "reference/commands": lambda: reference.of_commands(commands()),
    "reference/configuration": lambda: reference.of_configuration(KEYS),
    "reference/csv": reference.of_csv,
    "reference/json": json_reference.lines,
    "reference/prometheus": reference.of_export,
}
"""By their path below docs, without .md. Those in reference are made when the site is built."""


def main() -> None:
    """Print a page."""
    sys.stdout.write("\n".join(PAGES[sys.argv[1]]()))


if __name__ == "__main__":
    main()
