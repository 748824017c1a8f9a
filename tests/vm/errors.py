"""How a test machine that does not work says so."""

from __future__ import annotations


class MachineError(Exception):
    """What went wrong, with the end of the machine's console where that tells why."""
