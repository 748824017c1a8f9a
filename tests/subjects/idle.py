"""N processes that do nothing for S seconds; what a monitor spends on them is all its own.

They are forked and never execute anything, so thousands are cheap. The one that forks them is one
of the N. With `--ready FILE` that file appears once all exist and holds the first one's pid. No
truth: there is nothing to account for.
"""

import argparse
import os
import pathlib
import time

import _truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--ready", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    crew = _truth.Crew(arguments.count - 1, lambda: None)
    if arguments.ready:
        unfinished = arguments.ready.with_suffix(".unfinished")
        unfinished.write_text(str(os.getpid()))
        unfinished.rename(arguments.ready)
    time.sleep(arguments.seconds)
    crew.let_go()


if __name__ == "__main__":
    main()
