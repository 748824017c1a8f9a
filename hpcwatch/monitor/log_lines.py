"""A line of a program's output as it would stand on a terminal in the end. Pure."""

from __future__ import annotations

import re

from hpcwatch.base.clean import clean

_LONGEST = 2000
_SEQUENCE = re.compile(
    r"\x1b\[[0-9:;<=>?]{0,64}[ -/]{0,8}[@-~]"  # colours and movements
    r"|\x1b[\]P^_X][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?"  # titles, links and other strings
    r"|\x1b[ -/]{0,8}[0-~]"
)
_BACK = re.compile(r"[^\x08]\x08")


def folded(line: str) -> str:
    r"""Return a line without control sequences, and of its states the last.

    A progress bar writes state after state, each behind a ``\r``: the last one that is not blank
    stands. What else could harm a terminal becomes visible, as ``\x1b``.
    """
    states = [state for state in line[-8 * _LONGEST :].split("\r") if state.strip()]
    text = _SEQUENCE.sub("", states[-1] if states else "")
    for _ in range(4):
        text = _BACK.sub("", text)
    return clean(text.expandtabs()[:_LONGEST].rstrip())
