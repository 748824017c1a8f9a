"""Appends a line to a file some twenty times a second until another file appears, then exits.

The first line is its pid. A stopped or ended program makes no ticks, so a test can see whether it
runs. It gives up after `--patience` seconds, so that a failed test leaves nothing behind. Ctrl-C
ends it silently, as it ends a program that is not written in Python.
"""

import argparse
import os
import pathlib
import signal
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("until", type=pathlib.Path)
    parser.add_argument("--code", type=int, default=0, help="exit code")
    parser.add_argument("--patience", type=float, default=60, metavar="S")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    deadline = time.monotonic() + arguments.patience
    with arguments.file.open("a", buffering=1) as ticks:
        ticks.write(f"{os.getpid()}\n")
        while not arguments.until.exists() and time.monotonic() < deadline:
            ticks.write("tick\n")
            time.sleep(0.05)
    sys.exit(arguments.code)


if __name__ == "__main__":
    main()
