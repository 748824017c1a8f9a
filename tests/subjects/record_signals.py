"""Writes down every signal it receives, one name a line, and exits on a chosen one.

The first line is `ready PID`. Signals are blocked and taken one by one with `sigwait`, so none
interrupts the writing of another. A blocked signal is kept even if its disposition is to be
ignored, so that CONT and WINCH are seen; and TSTP does not stop the process. Two of one kind are
seen as two unless the second arrives before the first was taken, which no program could tell.
It gives up after `--patience` seconds, so that a failed test leaves nothing behind.
"""

import argparse
import os
import signal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--exit-on", default="TERM", metavar="NAME")
    parser.add_argument("--times", type=int, default=1, help="exit when it came that often")
    parser.add_argument("--code", type=int, default=0, help="exit code")
    parser.add_argument("--patience", type=int, default=60, metavar="S")
    arguments = parser.parse_args()
    wanted = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    signal.alarm(arguments.patience)
    record = os.open(arguments.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(record, f"ready {os.getpid()}\n".encode())
    times = arguments.times
    while times:
        name = signal.Signals(signal.sigwait(wanted)).name.removeprefix("SIG")
        os.write(record, f"{name}\n".encode())
        times -= name in (arguments.exit_on, "ALRM")
    os._exit(arguments.code)


if __name__ == "__main__":
    main()
