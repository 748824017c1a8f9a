"""Has N megabytes for a few milliseconds, frees them and lives on for a while.

Truth `memory_bytes`: this process's resident high-water mark (VmHWM). The kernel notes it at
the moment the memory is freed, so it is exact however short the spike; whoever only samples must be
lucky.
"""

import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("megabytes", type=int)
    parser.add_argument("--ms", type=float, default=50.0, help="how long it has them")
    parser.add_argument("--quiet", type=float, default=0.5, help="seconds before and after")
    arguments = parser.parse_args()
    time.sleep(arguments.quiet)
    memory = _truth.private_memory(arguments.megabytes)
    time.sleep(arguments.ms / 1000)
    memory.close()
    time.sleep(arguments.quiet)
    _truth.finish(arguments.truth, memory_bytes=_truth.own_peak_bytes())


if __name__ == "__main__":
    main()
