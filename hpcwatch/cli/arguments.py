"""argparse, with errors as one line and exit code 2.

argparse rather than click: `hpcwatch run` has to start the program within milliseconds, and
importing click takes longer than all the rest of it.
"""

from __future__ import annotations

import argparse
import math
from typing import NoReturn

from hpcwatch.errors import EXIT_USAGE, HpcwatchError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are HpcwatchErrors."""

    def __init__(self, prog: str, description: str, usage: str | None = None) -> None:
        # A width given spares argparse from importing shutil to ask for it at every argument.
        super().__init__(
            prog=prog,
            description=description,
            usage=usage,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80),
        )

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, and where to read on."""
        raise HpcwatchError(message, f"see: {self.prog} --help", EXIT_USAGE)


def interval(text: str) -> float:
    """Read a sampling interval in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.05 <= value <= 3600:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no interval: give seconds between 0.05 and 3600, such as 1"
        )
    return value
