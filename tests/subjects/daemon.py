"""Starts a daemon (forked twice, in a session of its own) that burns CPU, and waits for it.

Truth `cpu_s`: this process and the short-lived middle one by the kernel's account, plus the
daemon's own account of itself, sent through a pipe as its last act. The daemon is nobody's child
that waits, so its time appears in no `wait` of this program, though it is the program's work. The
main process waits for the pipe to close, which happens while the daemon ends.
"""

import os
import time

import _truth


def burn_and_tell(seconds: float, pipe: int) -> None:
    while time.process_time() < seconds:
        pass
    os.write(pipe, repr(_truth.cpu_s()).encode())


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    read_end, write_end = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            burn_and_tell(arguments.seconds, write_end)
        os._exit(0)
    os.close(write_end)
    os.waitpid(middle, 0)
    with os.fdopen(read_end) as pipe:
        daemon_cpu_s = float(pipe.read())
    _truth.finish(arguments.truth, cpu_s=_truth.cpu_s() + daemon_cpu_s)


if __name__ == "__main__":
    main()
