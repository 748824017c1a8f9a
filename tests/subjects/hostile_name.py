"""Calls itself things that break careless programs, then sleeps for S seconds.

Its argument list holds a terminal escape sequence, console markup, a line feed and bytes that are
not UTF-8; its kernel name (/proc/PID/comm) also holds what looks like the end of the name in
/proc/PID/stat. A view must show it without obeying it, and a reader must not stumble.
"""

import ctypes
import os
import sys
import time

ARGUMENT = b"\x1b[31m\x1b]0;title\x07[bold red]x[/bold]\n\xff\xfe"
NAME = b"\x1b[7m) R 1 [b]\xff"
PR_SET_NAME = 15


def main() -> None:
    seconds = sys.argv[1]
    if len(sys.argv) == 2:
        argv = [os.fsencode(text) for text in (sys.executable, __file__, seconds)]
        os.execv(sys.executable, [*argv, ARGUMENT])
    if ctypes.CDLL(None).prctl(PR_SET_NAME, NAME, 0, 0, 0) != 0:
        raise OSError("prctl(PR_SET_NAME) failed")
    time.sleep(float(seconds))


if __name__ == "__main__":
    main()
