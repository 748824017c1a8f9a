"""Runs N children one after the other, each of which burns a few milliseconds of CPU.

Truth `cpu_s`: user and system time of this process and of every child it waited for. Each child
lives far shorter than a monitor's interval: whoever only polls sees next to none of them.
"""

import os
import time

import _truth


def main() -> None:
    parser = _truth.parser(__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--ms", type=float, default=5.0, help="CPU milliseconds of each child")
    arguments = parser.parse_args()
    for _ in range(arguments.count):
        pid = os.fork()
        if pid == 0:
            while time.process_time() < arguments.ms / 1000:
                pass
            os._exit(0)
        os.waitpid(pid, 0)
    _truth.finish(arguments.truth, cpu_s=_truth.cpu_s())


if __name__ == "__main__":
    main()
