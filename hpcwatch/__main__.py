"""``python -m hpcwatch`` is ``hpcwatch``. This file must parse on any Python 3."""

import os
import sys

if sys.version_info < (3, 9):
    sys.stderr.write(
        "hpcwatch: Python %d.%d is too old: hpcwatch needs 3.9 or newer; try `module avail python`"
        " or a conda environment\n" % sys.version_info[:2]
    )
    sys.exit(2)

# A module of the user's that is called like one of Python's (enum.py, signal.py) must not stand in
# for it: where the environment and the working directory lead comes last.
_given = {os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
_last = [path for path in sys.path if os.path.abspath(path) in _given]
sys.path[:] = [path for path in sys.path if os.path.abspath(path) not in _given] + _last

from hpcwatch.cli import script  # noqa: E402

script()
