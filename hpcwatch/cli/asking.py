"""A question that a person answers on the terminal."""

from __future__ import annotations

import sys


def is_confirmed(question: str) -> bool:
    """Ask; only "y" or "yes" means yes, no answer means no."""
    print(f"{question} [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # the user did not end the line with Enter
        print()
    return answer.strip().lower() in ("y", "yes")
