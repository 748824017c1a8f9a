"""Kills itself with the signal whose number is given, as if it had never heard of it.

No core file: it would be of no use to anyone and takes long where the disk is slow.
"""

import os
import resource
import signal
import sys


def main() -> None:
    number = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
