"""Burns CPU steadily for N seconds of its own CPU time.

Truth `cpu_s`: user and system time of this one process by the kernel's account, from its fork to
its last instruction; it includes the interpreter's start. The clock is CPU time, not wall time, so
a busy machine makes it slower but not wrong.
"""

import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    while time.process_time() < arguments.seconds:
        pass
    _truth.finish(arguments.truth, cpu_s=_truth.cpu_s())


if __name__ == "__main__":
    main()
