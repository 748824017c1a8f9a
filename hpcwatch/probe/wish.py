"""What a watcher asks a running probe for: a line of input, valid until the next one.

An empty line is only a sign of life.
"""

import json

from .encode import to_plain
from .typed import Dict, NamedTuple, Optional

MOST_PROCESSES = 1000
"""How many processes of a node are named on demand."""


class Wish(NamedTuple):
    """What is read on demand, beyond what each sample holds."""

    is_every_process: bool = False
    """Name all of the job's processes, not only the largest."""
    logs: Optional[Dict[str, str]] = None
    """Follow these output files: ``output`` or ``error`` -> the path that the scheduler tells."""


NOTHING = Wish()


def to_message(wish: Wish) -> bytes:
    """Return the wish as a line of input."""
    return json.dumps(to_plain(wish)).encode() + b"\n"


def from_message(line: bytes) -> Wish:
    """Read a line of input. Raises ValueError if it is not a wish."""
    from .decode import build

    try:
        wish: Wish = build(Wish, json.loads(line.decode()))
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError("not a wish: %s" % error)
    return wish
