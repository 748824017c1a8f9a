"""Holds N megabytes of private memory for S seconds.

Truth `memory_bytes`: this process's resident high-water mark (VmHWM), which is the N megabytes,
all of them written to, plus the interpreter.
"""

import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("megabytes", type=int)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    memory = _truth.private_memory(arguments.megabytes)
    time.sleep(arguments.seconds)
    memory.close()
    _truth.finish(arguments.truth, memory_bytes=_truth.own_peak_bytes())


if __name__ == "__main__":
    main()
