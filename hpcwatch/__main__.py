"""``python -m hpcwatch`` is ``hpcwatch``. This file must parse on any Python 3."""

import sys

if sys.version_info < (3, 9):
    sys.stderr.write(
        "hpcwatch: Python %d.%d is too old: hpcwatch needs 3.9 or newer; try `module avail python`"
        " or a conda environment\n" % sys.version_info[:2]
    )
    sys.exit(2)

from hpcwatch.cli import script

script()
