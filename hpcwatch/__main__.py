"""``python -m hpcwatch`` is ``hpcwatch``."""

from hpcwatch.cli import script

script()
