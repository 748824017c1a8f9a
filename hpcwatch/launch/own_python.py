"""Starts our modules with the current Python, whatever the environment says about Python."""

from __future__ import annotations

import sys


def argv(module: str) -> tuple[str, ...]:
    """Return the command line that calls a module's ``main`` with our module search path.

    PYTHONHOME and PYTHONPATH are set for the program, not for us.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    return (sys.executable, "-I", "-S", "-c", code)
