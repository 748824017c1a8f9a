"""Start modules of ours by the Python that we run, apart from what the environment says of it."""

from __future__ import annotations

import sys


def argv(module: str) -> tuple[str, ...]:
    """Return the command line that calls a module's ``main``, which finds what we find.

    PYTHONHOME and PYTHONPATH are the program's.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    return (sys.executable, "-I", "-S", "-c", code)
